from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from media_server import MediaServer

from airflow_provider_evolink.api.errors import ResultRefusedError
from airflow_provider_evolink.landing.source import Network, open_link
from tests.loopback import Asked, Write, serving

HERE = Network(allow_loopback=True, connect_timeout=2, read_timeout=2)
ELSEWHERE = Network(connect_timeout=2, read_timeout=2)


def names(**table: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Make a resolver that knows these names only (``_`` for ``.``) and notes what it was asked."""

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        resolve.asked.append(host)  # type: ignore[attr-defined]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in table[host.replace(".", "_")]
        ]

    resolve.asked = []  # type: ignore[attr-defined]
    return resolve


def read(link: str, network: Network, headers: dict[str, str] | None = None) -> bytes:
    """Follow a link and read what it leads to."""
    with open_link(link, headers or {}, network) as response:
        return response.read()


def test_dials_the_address_that_was_judged(media: MediaServer) -> None:
    """A name is resolved once a hop, and that address is dialled: a second answer of the DNS can't matter."""
    media.serve("/a.mp4", body=b"here")
    resolve = names(media_test=["127.0.0.1"])
    assert read(f"http://media.test:{media.port}/a.mp4", replace(HERE, resolve=resolve)) == b"here"
    assert resolve.asked == ["media.test"]  # type: ignore[attr-defined]
    assert media.seen[0].headers["host"] == f"media.test:{media.port}"


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["169.254.169.254"], ["127.0.0.1"], ["93.184.216.34", "192.168.0.1"], ["::1"], ["fd00::1"]],
)
def test_private_addresses_are_not_dialled(media: MediaServer, addresses: list[str]) -> None:
    """A name that leads to any private address is refused before a packet leaves."""
    with pytest.raises(ResultRefusedError, match="not a public address"):
        read(f"https://media.test:{media.port}/a.mp4", replace(ELSEWHERE, resolve=names(media_test=addresses)))
    assert media.seen == []


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.1:{port}/a",
        "https://127.0.0.1:{port}/a",
        "https://127.1:{port}/a",
        "https://2130706433:{port}/a",
        "https://[::ffff:127.0.0.1]:{port}/a",
    ],
)
def test_loopback_needs_leave(media: MediaServer, link: str) -> None:
    """This machine is not reached through a link, in whatever spelling, unless the connection is on it too."""
    with pytest.raises(ResultRefusedError):
        read(link.format(port=media.port), ELSEWHERE)
    assert media.seen == []


@pytest.mark.parametrize(
    "link",
    ["", "a.mp4", "file:///etc/passwd", "ftp://a.test/a", "https://", "https://u:p@a.test/", "https://a.test:x/"],
)
def test_links_that_are_none(link: str) -> None:
    """Only http and https links to a host, without a password, are links."""
    with pytest.raises(ResultRefusedError, match="no https link"):
        read(link, HERE)


def test_plain_http_elsewhere_is_refused() -> None:
    """Plain http is for this machine only, even where loopback is allowed."""
    with pytest.raises(ResultRefusedError, match="plain http"):
        read("http://media.test/a.mp4", replace(HERE, resolve=names(media_test=["93.184.216.34"])))


@pytest.mark.parametrize(
    "target",
    ["https://metadata.test/", "http://public.test/", "file:///etc/passwd", "https://[fd00::1]/", "https://[x/"],
)
def test_every_redirect_is_judged(media: MediaServer, target: str) -> None:
    """A redirect is followed only where the first link would have been."""
    link = media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": target}}])
    resolve = names(metadata_test=["169.254.169.254"], public_test=["93.184.216.34"])
    network = replace(HERE, resolve=resolve)
    with pytest.raises(ResultRefusedError):
        read(link, network)
    assert len(media.seen) == 1


def test_odd_characters_are_quoted(media: MediaServer) -> None:
    """A link with spaces and other letters in its path and query is asked for in ASCII, what is quoted stays so."""
    media.serve("/a%20b%C3%BC%2F.mp4?x=%C3%BC&y=%2B", body=b"here")
    assert read(f"{media.url}/a bü%2F.mp4?x=ü&y=%2B#part", HERE) == b"here"


def trusting(authority: Path, **how: Any) -> Network:
    """A network that trusts the certificate of media.example.com."""
    return replace(HERE, tls=lambda: ssl.create_default_context(cafile=str(authority)), **how)


def test_tls_is_for_the_name_in_the_link(secure_media: MediaServer, authority: Path) -> None:
    """The certificate is checked against the link's name, though an address is dialled."""
    secure_media.serve("/a.mp4", body=b"here")
    resolve = names(media_example_com=["127.0.0.1"], other_example_com=["127.0.0.1"])
    network = trusting(authority, resolve=resolve)
    assert read(f"https://media.example.com:{secure_media.port}/a.mp4", network) == b"here"
    with pytest.raises(ssl.SSLCertVerificationError):
        read(f"https://other.example.com:{secure_media.port}/a.mp4", network)
    with pytest.raises(ssl.SSLCertVerificationError):
        read(f"https://media.example.com:{secure_media.port}/a.mp4", replace(HERE, resolve=resolve))


class _Proxy(BaseHTTPRequestHandler):
    """An HTTP proxy that leads every CONNECT to one port."""

    seen: list[tuple[str, str | None]]
    to: int

    def do_CONNECT(self) -> None:
        self.seen.append((self.path, self.headers.get("Proxy-Authorization")))
        with socket.create_connection(("127.0.0.1", self.to)) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pour, args=(upstream, self.connection), daemon=True)
            back.start()
            _pour(self.connection, upstream)
            back.join(2)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


def _pour(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy(secure_media: MediaServer) -> Iterator[ThreadingHTTPServer]:
    """A proxy through which media.example.com is reached."""
    handler = type("Proxy", (_Proxy,), {"seen": [], "to": secure_media.port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_proxy(
    secure_media: MediaServer, authority: Path, proxy: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy the media host is reached by name, and the proxy's password stays with the proxy."""
    secure_media.serve("/a.mp4", body=b"here")
    through = f"http://user:p%40ss@127.0.0.1:{proxy.server_port}"
    resolve = names()
    for network in (trusting(authority, proxy=through, resolve=resolve), trusting(authority, resolve=resolve)):
        assert read("https://media.example.com/a.mp4", network) == b"here"
        monkeypatch.setenv("HTTPS_PROXY", through)
    expected = ("media.example.com:443", "Basic dXNlcjpwQHNz")
    assert proxy.RequestHandlerClass.seen == [expected, expected]  # type: ignore[attr-defined]
    assert "proxy-authorization" not in secure_media.seen[0].headers


@pytest.mark.parametrize("link", ["https://10.0.0.1/a", "https://metadata.internal/a", "https://0x7f.1/a"])
def test_proxy_is_not_a_way_round(proxy: ThreadingHTTPServer, link: str) -> None:
    """A proxy is not asked for what is private by its very name."""
    with pytest.raises(ResultRefusedError):
        read(link, replace(ELSEWHERE, proxy=f"http://127.0.0.1:{proxy.server_port}"))
    assert proxy.RequestHandlerClass.seen == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("length", ["Content-Length: 100000\r\n", ""])
def test_a_failure_takes_no_bytes_with_it(length: str) -> None:
    """What came before a silence is handed out, so that only the rest has to be asked for; then the failure is told."""

    async def answer(asked: Asked, write: Write) -> None:
        await write(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + b"a" * 5)
        await write(b"b" * 70_000)
        await asyncio.sleep(60)

    memory, came, told = memoryview(bytearray(100_000)), 0, ""
    network = replace(HERE, read_timeout=0.5)
    with serving(answer, hangs_up=True) as server, open_link(server.url, {}, network) as response:
        try:
            while came < len(memory):
                came += response.read_some(memory[came:])
        except TimeoutError:
            told = "silence"
    assert told == "silence"
    assert bytes(memory[:came]) == b"a" * 5 + b"b" * 70_000


def test_slow_bytes_are_handed_out_in_a_moment() -> None:
    """Who reads into much memory does not wait until it is full: what has come can be judged while the rest comes."""

    async def answer(asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(10_000):
            await write(b"x")
            await asyncio.sleep(0.01)

    with serving(answer, hangs_up=True) as server, open_link(server.url, {}, HERE) as response:
        assert 0 < response.read_some(memoryview(bytearray(10_000))) < 1000
