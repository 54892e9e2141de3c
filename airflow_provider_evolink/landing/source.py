# SPDX-License-Identifier: Apache-2.0
"""
Opens a media link: the one place where this package connects to a host that somebody else named.

A link must lead over https to a public address, and so must every redirect. A host is resolved once, and the
address that was judged is the address that is dialled. The API key is not known here; no cookie is kept.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.addresses import literal_address, url_problem, vetted_addresses
from airflow_provider_evolink.api.errors import ResultRefusedError

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# EvoLink's client warns that its media host blocks the default names of Python's libraries.
_HEADERS = {
    "User-Agent": f"airflow-provider-evolink/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
_MAX_ADDRESSES = 4
# Nobody has to wait longer for what has come.
_MOMENT = 0.1

Resolver = Callable[..., Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Network:
    """
    How media hosts are reached.

    :param allow_loopback: let links lead to this machine, over http too; for the emulator.
    :param tls: makes the TLS context; called for the first https link only, since that is slow.
    :param proxy: URL of an HTTP proxy; ``None`` = what the environment says (``HTTPS_PROXY``, ``NO_PROXY``).
    :param connect_timeout: seconds for each address.
    :param read_timeout: seconds of silence after which an answer counts as cut.
    :param resolve: has the signature of :func:`socket.getaddrinfo`.
    :param dial: has the signature of :func:`socket.create_connection`; is given judged addresses only.
    """

    allow_loopback: bool = False
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    proxy: str | None = field(default=None, repr=False)
    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    resolve: Resolver = socket.getaddrinfo
    dial: Callable[..., socket.socket] = socket.create_connection


@contextmanager
def open_link(link: str, headers: Mapping[str, str], network: Network) -> Iterator[Response]:
    """
    Ask for a link, follow its redirects, and hand out the answer with its body unread; closed at the end.

    :param headers: sent along; what names us is added.
    :raises ResultRefusedError: the link, or a redirect, leads where this package must not follow. Lasting.
    :raises ConfigurationError: the TLS context can't be made.
    :raises OSError, http.client.HTTPException: the network failed. A retry may pass.
    """
    for _ in range(MAX_REDIRECTS + 1):
        with ExitStack() as stack:
            connection = stack.enter_context(closing(_connection(link, network)))
            connection.response_class = functools.partial(Response, seconds=network.read_timeout)  # type: ignore[assignment]
            connection.request("GET", _target(link), headers={**_HEADERS, **headers})
            response = stack.enter_context(closing(cast(Response, connection.getresponse())))
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                yield response
                return
            link = _next(link, location)
    raise ResultRefusedError(f"The link was redirected more than {MAX_REDIRECTS} times.")


class _Clocked(io.RawIOBase):
    """The bytes of a connection, until its time is up: http.client reads on for as long as anything comes."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        super().__init__()
        self._raw = raw
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        self._end = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if time.monotonic() > self._end:
            raise TimeoutError
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Response(http.client.HTTPResponse):
    """An answer of which the head, and each piece of the body, comes in time or not at all."""

    def __init__(self, sock: socket.socket, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock
        self._clocked = _Clocked(self.fp.detach(), seconds)
        self.fp = io.BufferedReader(self._clocked)
        self._is_begun = False
        self._failure: OSError | None = None

    def read_some(self, memory: memoryview) -> int:
        """
        Put there what comes until it is full, the body ends, or a moment has passed; return how much came.

        A failure never takes bytes with it that came before: it is raised by the next call then.

        :return: 0 at the end only.
        """
        if self._failure is not None:
            raise self._failure
        self._clocked.restart()
        if self.chunked:
            piece = self.read1(len(memory))
            memory[: len(piece)] = piece
            return len(piece)
        if self.length is None:
            return self._fill(memory)
        count = self._fill(memory[: self.length])
        self.length -= count
        return count

    def _fill(self, memory: memoryview) -> int:
        """Read past all layers but TLS, once the bytes that came with the head are taken: the body is the rest."""
        count, end = 0, time.monotonic() + _MOMENT
        if not self._is_begun:
            self._is_begun = True
            count = self.fp.readinto1(memory)
            if not count:
                return 0
        receive = self._socket.recv_into
        try:
            while count < len(memory) and time.monotonic() < end:
                more = receive(memory[count:])
                if not more:
                    break
                count += more
        except OSError as error:
            if not count:
                raise
            self._failure = error
        return count


class _Connection(http.client.HTTPConnection):
    """Dials the addresses it was given, whatever the host's name resolves to by then."""

    def __init__(self, host: str, port: int, addresses: Sequence[str], network: Network, *, secure: bool) -> None:
        super().__init__(host, port)
        self._addresses = addresses
        self._network = network
        self._tls = network.tls() if secure else None
        # An instance's attribute on purpose: the Host header names the port only if it is not this one.
        self.default_port = 443 if secure else 80

    def connect(self) -> None:
        sock = self._dial()
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self.host)
            sock.settimeout(self._network.read_timeout)
        except BaseException:
            sock.close()
            raise
        self.sock = sock

    def _dial(self) -> socket.socket:
        failure: OSError | None = None
        for address in self._addresses[:_MAX_ADDRESSES]:
            try:
                return self._network.dial((address, self.port), self._network.connect_timeout)
            except OSError as error:
                failure = error
        raise failure or OSError("no address")


def _connection(link: str, network: Network) -> http.client.HTTPConnection:
    parts = _checked(link)
    host, secure = parts.hostname or "", parts.scheme == "https"
    proxy = _proxy_for(host, network) if secure else None
    if proxy:
        return _tunnel(proxy, link, parts, network)
    port = parts.port or (443 if secure else 80)
    addresses = vetted_addresses(host, port, allow_loopback=network.allow_loopback, resolve=network.resolve)
    if not secure and not all(map(_is_loopback, addresses)):
        raise ResultRefusedError(f"The link leads to {host[:255]!r} over plain http; only https is followed.")
    return _Connection(host, port, addresses, network, secure=secure)


def _checked(link: str) -> SplitResult:
    try:
        parts = urlsplit(link)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:
        raise ResultRefusedError("The link is no https link to a host, or carries a password.")
    return parts


def _tunnel(proxy: str, link: str, parts: SplitResult, network: Network) -> http.client.HTTPConnection:
    """Through a proxy the names are resolved by it, so the link is judged by its text only."""
    problem = url_problem(link)
    if problem:
        raise ResultRefusedError(f"The link is refused: {problem}.")
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if through.scheme != "http" or not through.hostname:
        raise ResultRefusedError("The proxy is not supported for media: only http:// proxies are.")
    connection = http.client.HTTPSConnection(
        through.hostname, through.port or 80, timeout=network.read_timeout, context=network.tls()
    )
    headers = {}
    if through.username:
        secret = f"{unquote(through.username)}:{unquote(through.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(secret.encode()).decode()}"
    connection.set_tunnel(parts.hostname or "", parts.port or 443, headers)
    return connection


def _proxy_for(host: str, network: Network) -> str | None:
    if _is_loopback(host) or proxy_bypass(host):
        return None
    return network.proxy or getproxies().get("https")


def _is_loopback(address: str) -> bool:
    ip = literal_address(address)
    return ip is not None and ip.is_loopback


def _target(link: str) -> str:
    parts = urlsplit(link)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else path


def _next(link: str, location: str) -> str:
    try:
        return urljoin(link, location)
    except ValueError:
        raise ResultRefusedError("The link is redirected to something that is no link.") from None
