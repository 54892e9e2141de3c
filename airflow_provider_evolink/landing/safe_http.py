# SPDX-License-Identifier: Apache-2.0
"""Open a media link: the only place where this package connects to a host that someone else has named.

Guards against SSRF (server-side request forgery) and DNS rebinding: a link has to lead to a public address, and so
does every redirect. A host is resolved once per attempt, and the address that was checked is the address that is
dialed. A plain http link is requested over https: a page of EvoLink's documentation shows such links, and anyone on
the path could replace what comes over plain http. The API key is not known here, and no cookie is stored.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.addresses import is_this_machine, url_problem, vetted_addresses
from airflow_provider_evolink.api.errors import ConfigurationError, LandingError, ResultRefusedError
from airflow_provider_evolink.api.proxies import proxy_for
from airflow_provider_evolink.landing import proxy_tunnel, urls
from airflow_provider_evolink.landing.kept_connections import KeptConnections
from airflow_provider_evolink.landing.response import Response

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# EvoLink's client warns that its media host blocks the default user agents of Python's libraries.
_HEADERS = {
    "User-Agent": f"airflow-provider-evolink/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
# Addresses dialed per attempt.
_MAX_ADDRESSES = 4

Resolver = Callable[..., Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach media hosts.

    :param allow_loopback: allow links to this machine, over http too; for the emulator.
    :param tls: creates the TLS context; called for https links only, since that is slow.
    :param proxy: URL of an HTTP proxy; ``None`` takes the environment's, see :func:`proxies.proxy_for`.
    :param environment_proxies: reads those; has the signature of :func:`urllib.request.getproxies`.
    :param connect_timeout: seconds per address.
    :param read_timeout: seconds of silence after which a response counts as cut.
    :param resolve: has the signature of :func:`socket.getaddrinfo`.
    :param dial: has the signature of :func:`socket.create_connection`; gets checked addresses and the proxy only.
    :param connections: keeps connections for the next link; ``None`` = each link gets one of its own.
    """

    allow_loopback: bool = False
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    proxy: str | None = field(default=None, repr=False)
    environment_proxies: Callable[[], Mapping[str, str]] = field(default=getproxies, repr=False)
    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    resolve: Resolver = socket.getaddrinfo
    dial: Callable[..., socket.socket] = socket.create_connection
    connections: KeptConnections[_Connection] | None = None


@contextmanager
def open_link(
    link: str, headers: Mapping[str, str], network: Network, failures: Counter[str] | None = None
) -> Iterator[Response]:
    """Request a link, follow its redirects, and yield the response with its body unread; it is closed at the end.

    :param headers: request headers; ``User-Agent`` and the like are added.
    :param failures: failures per address, over the attempts of a download. They are counted here, and the address
        with the fewest is dialed first.
    :raises ResultRefusedError: the link, or a redirect, leads where this package must not follow. Permanent.
    :raises ConfigurationError: the TLS context can't be created.
    :raises LandingError: the proxy is of a type that can't be used.
    :raises OSError, http.client.HTTPException: the network failed. A retry may succeed.
    """
    failures = Counter() if failures is None else failures
    for _ in range(MAX_REDIRECTS + 1):
        with _response(link, headers, network, failures) as response:
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                yield response
                return
            link = urls.resolve_redirect(link, location)
    raise ResultRefusedError(f"The link was redirected more than {MAX_REDIRECTS} times.")


@contextmanager
def _response(link: str, headers: Mapping[str, str], network: Network, failures: Counter[str]) -> Iterator[Response]:
    """Request a link and yield the response; over a kept connection if there is one that still works."""
    parts = urls.parse(link)
    connection, response = _connection(parts, network, failures), None
    kept = network.connections.take(connection.key, connection.addresses) if network.connections else None
    if kept is not None:
        try:
            connection, response = kept, _send(kept, parts, headers, network)
        except (OSError, http.client.HTTPException):
            # The server has closed it meanwhile.
            kept.close()
            connection = _connection(parts, network, failures)
    try:
        with _counting_failures(connection, failures):
            response = response or _send(connection, parts, headers, network)
            yield response
    finally:
        _release(connection, response, network)


def _send(connection: _Connection, parts: SplitResult, headers: Mapping[str, str], network: Network) -> Response:
    connection.response_class = functools.partial(Response, seconds=network.read_timeout)  # type: ignore[assignment]
    reuse = {} if network.connections is not None else {"Connection": "close"}
    connection.request("GET", urls.request_target(parts), headers={**_HEADERS, **reuse, **headers})
    return cast(Response, connection.getresponse())


def _release(connection: _Connection, response: Response | None, network: Network) -> None:
    """Keep the connection if its response was read to the end, and close it otherwise."""
    is_reusable = response is not None and response.is_complete
    if response is not None:
        response.close()
    if is_reusable and network.connections is not None:
        network.connections.put(connection.key, connection)
    else:
        connection.close()


@dataclass(frozen=True, slots=True)
class _Route:
    """What to dial: the addresses of the host, or a proxy."""

    addresses: Sequence[str]
    port: int
    proxy: SplitResult | None = None


class _Connection(http.client.HTTPConnection):
    """A connection by a given route, whatever the host's name resolves to by then."""

    def __init__(self, parts: SplitResult, route: _Route, network: Network, failures: Counter[str]) -> None:
        is_secure = parts.scheme == "https"
        super().__init__(parts.hostname or "", parts.port or (443 if is_secure else 80))
        self._route = route
        self._network = network
        self._failures = failures
        self._tls = network.tls() if is_secure else None
        # Set on the instance on purpose: the Host header names the port only if it is not this one.
        self.default_port = 443 if is_secure else 80
        self.address: str | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What it leads to."""
        proxy = self._route.proxy.geturl() if self._route.proxy else None
        return self._tls is not None, self.host, self.port, proxy

    @property
    def addresses(self) -> Sequence[str]:
        """Where it may be dialed."""
        return self._route.addresses

    def connect(self) -> None:
        sock = self._dial()
        try:
            if self._route.proxy is not None:
                sock = self._tunnel_through(self._route.proxy, sock)
            if self._tls is not None:
                sock = proxy_tunnel.start_tls(sock, self.host, self._tls)
            sock.settimeout(self._network.read_timeout)
        except BaseException:
            sock.close()
            raise
        self.sock = sock

    def _tunnel_through(self, proxy: SplitResult, sock: socket.socket) -> socket.socket:
        if proxy.scheme == "https":
            sock = proxy_tunnel.start_tls(sock, proxy.hostname or "", self._network.tls())
        # The proxy has to reach the host first.
        sock.settimeout(self._network.read_timeout)
        proxy_tunnel.open_tunnel(sock, proxy, self.host, self.port)
        return sock

    def _dial(self) -> socket.socket:
        failure: OSError | None = None
        for address in sorted(self._route.addresses, key=self._failures.__getitem__)[:_MAX_ADDRESSES]:
            self.address = address
            try:
                return self._network.dial((address, self._route.port), self._network.connect_timeout)
            except OSError as error:
                self._failures[address] += 1
                self.address, failure = None, error
        raise failure or OSError("no address")


@contextmanager
def _counting_failures(connection: _Connection, failures: Counter[str]) -> Iterator[None]:
    """Count a failure that happens after an address was reached."""
    try:
        yield
    except Exception:
        if connection.address is not None:
            failures[connection.address] += 1
        raise


def _connection(parts: SplitResult, network: Network, failures: Counter[str]) -> _Connection:
    if parts.scheme == "http" and network.allow_loopback:
        route = _direct_route(parts, network)
        if all(map(is_this_machine, route.addresses)):
            return _Connection(parts, route, network, failures)
    parts = urls.as_https(parts)
    return _Connection(parts, _route(parts, network), network, failures)


def _route(parts: SplitResult, network: Network) -> _Route:
    try:
        proxy = proxy_for(parts.geturl(), network.proxy, network.environment_proxies())
    except ConfigurationError as error:
        # The API may be reached without this proxy, so it can't be refused any earlier.
        raise LandingError(f"The media host {parts.hostname} can't be reached: {error}") from error
    return _proxy_route(parts, urlsplit(proxy)) if proxy else _direct_route(parts, network)


def _direct_route(parts: SplitResult, network: Network) -> _Route:
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    addresses = vetted_addresses(host, port, allow_loopback=network.allow_loopback, resolve=network.resolve)
    return _Route(interleave(addresses), port)


def _proxy_route(parts: SplitResult, proxy: SplitResult) -> _Route:
    """A proxy resolves the names itself, so the link can be checked by its text only."""
    problem = url_problem(f"https://{parts.netloc}/")
    if problem:
        raise ResultRefusedError(f"The link is refused: {problem}.")
    host, port = proxy_tunnel.proxy_address(proxy)
    return _Route([host], port, proxy)


def interleave(addresses: Sequence[str]) -> list[str]:
    """Interleave IPv6 and IPv4, starting with the resolver's choice (RFC 8305): one family may not be routed."""
    preferred = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    others = [address for address in addresses if address not in preferred]
    return [address for pair in zip_longest(preferred, others) for address in pair if address is not None]
