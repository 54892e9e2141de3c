# SPDX-License-Identifier: Apache-2.0
"""
Opens a media link: the one place where this package connects to a host that somebody else named.

A link must lead to a public address, and so must every redirect. It is followed over https, also where it says http:
a page of EvoLink's documents shows such links, and what comes over plain http may be anybody's. A host is resolved once
for each try, and the address that was judged is the address that is dialled. The API key is not known here; no cookie
is kept.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
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
from airflow_provider_evolink.landing.response import Response

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# EvoLink's client warns that its media host blocks the default names of Python's libraries.
_HEADERS = {
    "User-Agent": f"airflow-provider-evolink/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
# How many addresses are dialled in one try.
_MAX_ADDRESSES = 4

Resolver = Callable[..., Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Network:
    """
    How media hosts are reached.

    :param allow_loopback: let links lead to this machine, over http too; for the emulator.
    :param tls: makes the TLS context; called for the first https link only, since that is slow.
    :param proxy: URL of an HTTP proxy; ``None`` = what the environment says, see :func:`proxies.proxy_for`.
    :param connect_timeout: seconds for each address.
    :param read_timeout: seconds of silence after which an answer counts as cut.
    :param resolve: has the signature of :func:`socket.getaddrinfo`.
    :param dial: has the signature of :func:`socket.create_connection`; is given judged addresses and the proxy only.
    """

    allow_loopback: bool = False
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    proxy: str | None = field(default=None, repr=False)
    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    resolve: Resolver = socket.getaddrinfo
    dial: Callable[..., socket.socket] = socket.create_connection


@contextmanager
def open_link(
    link: str, headers: Mapping[str, str], network: Network, failures: Counter[str] | None = None
) -> Iterator[Response]:
    """
    Ask for a link, follow its redirects, and hand out the answer with its body unread; closed at the end.

    :param headers: sent along; what names us is added.
    :param failures: by address, over the tries of a download: counted here; where there were fewest is dialled first.
    :raises ResultRefusedError: the link, or a redirect, leads where this package must not follow. Lasting.
    :raises ConfigurationError: the TLS context can't be made.
    :raises LandingError: the proxy is of a kind that can't be used.
    :raises OSError, http.client.HTTPException: the network failed. A retry may pass.
    """
    failures = Counter() if failures is None else failures
    for _ in range(MAX_REDIRECTS + 1):
        with ExitStack() as stack:
            connection = stack.enter_context(closing(_connection(link, network, failures)))
            stack.enter_context(_blaming(connection, failures))
            connection.response_class = functools.partial(Response, seconds=network.read_timeout)  # type: ignore[assignment]
            connection.request("GET", urls.target(urls.parse(link)), headers={**_HEADERS, **headers})
            response = stack.enter_context(closing(cast(Response, connection.getresponse())))
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                yield response
                return
            link = urls.redirected(link, location)
    raise ResultRefusedError(f"The link was redirected more than {MAX_REDIRECTS} times.")


@dataclass(frozen=True, slots=True)
class _Way:
    """What to dial: the addresses of the host, or a proxy."""

    addresses: Sequence[str]
    port: int
    proxy: SplitResult | None = None


class _Connection(http.client.HTTPConnection):
    """Goes the way it was given, whatever the host's name resolves to by then."""

    def __init__(self, parts: SplitResult, way: _Way, network: Network, failures: Counter[str]) -> None:
        is_secure = parts.scheme == "https"
        super().__init__(parts.hostname or "", parts.port or (443 if is_secure else 80))
        self._way = way
        self._network = network
        self._failures = failures
        self._tls = network.tls() if is_secure else None
        # An instance's attribute on purpose: the Host header names the port only if it is not this one.
        self.default_port = 443 if is_secure else 80
        self.address: str | None = None

    def connect(self) -> None:
        sock = self._dial()
        try:
            if self._way.proxy is not None:
                sock = self._through(self._way.proxy, sock)
            if self._tls is not None:
                sock = proxy_tunnel.secure(sock, self.host, self._tls)
            sock.settimeout(self._network.read_timeout)
        except BaseException:
            sock.close()
            raise
        self.sock = sock

    def _through(self, proxy: SplitResult, sock: socket.socket) -> socket.socket:
        if proxy.scheme == "https":
            sock = proxy_tunnel.secure(sock, proxy.hostname or "", self._network.tls())
        # It has to reach the host first.
        sock.settimeout(self._network.read_timeout)
        proxy_tunnel.ask(sock, proxy, self.host, self.port)
        return sock

    def _dial(self) -> socket.socket:
        failure: OSError | None = None
        for address in sorted(self._way.addresses, key=self._failures.__getitem__)[:_MAX_ADDRESSES]:
            self.address = address
            try:
                return self._network.dial((address, self._way.port), self._network.connect_timeout)
            except OSError as error:
                self._failures[address] += 1
                self.address, failure = None, error
        raise failure or OSError("no address")


@contextmanager
def _blaming(connection: _Connection, failures: Counter[str]) -> Iterator[None]:
    """Count a failure that comes after an address was reached."""
    try:
        yield
    except Exception:
        if connection.address is not None:
            failures[connection.address] += 1
        raise


def _connection(link: str, network: Network, failures: Counter[str]) -> _Connection:
    parts = urls.parse(link)
    if parts.scheme == "http" and network.allow_loopback:
        way = _straight(parts, network)
        if all(map(is_this_machine, way.addresses)):
            return _Connection(parts, way, network, failures)
    parts = urls.secured(parts)
    return _Connection(parts, _way(parts, network), network, failures)


def _way(parts: SplitResult, network: Network) -> _Way:
    try:
        proxy = proxy_for(parts.geturl(), network.proxy, getproxies())
    except ConfigurationError as error:
        # The connection's own hosts may be reached without it, so this can come to light here only.
        raise LandingError(f"Its host {parts.hostname} can't be reached: {error}") from error
    return _tunnelled(parts, urlsplit(proxy)) if proxy else _straight(parts, network)


def _straight(parts: SplitResult, network: Network) -> _Way:
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    found = vetted_addresses(host, port, allow_loopback=network.allow_loopback, resolve=network.resolve)
    return _Way(alternating(found), port)


def _tunnelled(parts: SplitResult, proxy: SplitResult) -> _Way:
    """Through a proxy the names are resolved by it, so the link is judged by its text only."""
    problem = url_problem(f"https://{parts.netloc}/")
    if problem:
        raise ResultRefusedError(f"The link is refused: {problem}.")
    host, port = proxy_tunnel.address_of(proxy)
    return _Way([host], port, proxy)


def alternating(addresses: Sequence[str]) -> list[str]:
    """Let IPv6 and IPv4 take turns, beginning with the resolver's choice (RFC 8305): one family may lead nowhere."""
    chosen = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    others = [address for address in addresses if address not in chosen]
    return [address for pair in zip_longest(chosen, others) for address in pair if address is not None]
