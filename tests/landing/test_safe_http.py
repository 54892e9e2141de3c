# SPDX-License-Identifier: Apache-2.0
"""Media links: where they may lead, by which route, and how responses are read."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import LandingError, ResultRefusedError
from airflow_provider_evolink.landing.download import download
from airflow_provider_evolink.landing.safe_http import Network, interleave, open_link
from testkit.certificates import issue_certificate
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.landing.media_server import MediaServer, mp4
from tests.loopback import ReceivedRequest, Write, serving

LOOPBACK = Network(allow_loopback=True, connect_timeout=2, read_timeout=2)
PUBLIC = Network(connect_timeout=2, read_timeout=2)


def resolver(**table: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a resolver that knows only these names (``_`` for ``.``) and records its queries."""

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        resolve.queries.append(host)  # type: ignore[attr-defined]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in table[host.replace(".", "_")]
        ]

    resolve.queries = []  # type: ignore[attr-defined]
    return resolve


def read(link: str, network: Network, headers: dict[str, str] | None = None) -> bytes:
    """Follow a link and return its body."""
    with open_link(link, headers or {}, network) as response:
        return response.read()


def test_dials_the_address_that_was_checked(media: MediaServer) -> None:
    """A name is resolved once per hop and the checked address is dialed, so a second DNS answer can't matter."""
    media.serve("/a.mp4", body=b"here")
    resolve = resolver(media_test=["127.0.0.1"])
    assert read(f"http://media.test:{media.port}/a.mp4", replace(LOOPBACK, resolve=resolve)) == b"here"
    assert resolve.queries == ["media.test"]  # type: ignore[attr-defined]
    assert media.requests[0].headers["host"] == f"media.test:{media.port}"


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["169.254.169.254"], ["127.0.0.1"], ["93.184.216.34", "192.168.0.1"], ["::1"], ["fd00::1"]],
)
def test_private_addresses_are_not_dialed(media: MediaServer, addresses: list[str]) -> None:
    """A name with any private address is refused before a packet is sent."""
    with pytest.raises(ResultRefusedError, match="public"):
        read(f"https://media.test:{media.port}/a.mp4", replace(PUBLIC, resolve=resolver(media_test=addresses)))
    assert media.requests == []


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
def test_loopback_is_refused_by_default(media: MediaServer, link: str) -> None:
    """A link does not lead to this machine, in whatever spelling, unless loopback is allowed."""
    with pytest.raises(ResultRefusedError):
        read(link.format(port=media.port), PUBLIC)
    assert media.requests == []


@pytest.mark.parametrize(
    "link",
    ["", "a.mp4", "file:///etc/passwd", "ftp://a.test/a", "https://", "https://u:p@a.test/", "https://a.test:x/"],
)
def test_invalid_links(link: str) -> None:
    """Only http and https links to a host, without a password, are accepted."""
    with pytest.raises(ResultRefusedError, match="not an https link"):
        read(link, LOOPBACK)


@pytest.mark.parametrize(
    "target",
    ["https://metadata.test/", "http://metadata.test/", "file:///etc/passwd", "https://[fd00::1]/", "https://[x/"],
)
def test_every_redirect_is_checked(media: MediaServer, target: str) -> None:
    """A redirect is followed only to where a link may lead."""
    link = media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": target}}])
    resolve = resolver(metadata_test=["169.254.169.254"])
    network = replace(LOOPBACK, resolve=resolve)
    with pytest.raises(ResultRefusedError):
        read(link, network)
    assert len(media.requests) == 1


def test_unusual_characters_are_quoted(media: MediaServer) -> None:
    """A link with spaces and non-ASCII letters is requested in ASCII; what is quoted already stays so."""
    media.serve("/a%20b%C3%BC%2F.mp4?x=%C3%BC&y=%2B", body=b"here")
    assert read(f"{media.url}/a bü%2F.mp4?x=ü&y=%2B#part", LOOPBACK) == b"here"


def trusting(authority: Path, **options: Any) -> Network:
    """Return a network that trusts the certificate of media.example.com."""
    return replace(LOOPBACK, tls=lambda: ssl.create_default_context(cafile=str(authority)), **options)


def test_tls_is_for_the_name_in_the_link(secure_media: MediaServer, authority: Path) -> None:
    """The certificate is checked against the name in the link, although an address is dialed."""
    secure_media.serve("/a.mp4", body=b"here")
    resolve = resolver(media_example_com=["127.0.0.1"], other_example_com=["127.0.0.1"])
    network = trusting(authority, resolve=resolve)
    assert read(f"https://media.example.com:{secure_media.port}/a.mp4", network) == b"here"
    with pytest.raises(ssl.SSLCertVerificationError):
        read(f"https://other.example.com:{secure_media.port}/a.mp4", network)
    with pytest.raises(ssl.SSLCertVerificationError):
        read(f"https://media.example.com:{secure_media.port}/a.mp4", replace(LOOPBACK, resolve=resolve))


@pytest.fixture
def proxy(secure_media: MediaServer) -> Iterator[ConnectProxy]:
    """An HTTP proxy that reaches media.example.com."""
    with connect_proxy(secure_media.port) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the tests without the environment's proxies."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize("variable", ["", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy(
    secure_media: MediaServer, authority: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A proxy from the connection or the environment gets the host's name; its password does not reach the host."""
    secure_media.serve("/a.mp4", body=b"here")
    through = proxy.url.replace("://", "://user:p%40ss@")
    if variable:
        monkeypatch.setenv(variable, through)
    network = trusting(authority, proxy=None if variable else through, resolve=resolver())
    assert read("https://media.example.com/a.mp4", network) == b"here"
    assert proxy.requests == [("media.example.com:443", "Basic dXNlcjpwQHNz")]
    assert "proxy-authorization" not in secure_media.requests[0].headers


def test_proxy_over_tls(secure_media: MediaServer, authority: Path, tmp_path: Path) -> None:
    """A large file arrives complete through TLS within TLS, and the proxy's certificate is checked, too."""
    body = bytes(range(256)) * 20_000
    secure_media.serve("/a.mp4", body=body)
    certificate = issue_certificate("localhost", tmp_path)
    context = ssl.create_default_context(cafile=str(authority))
    with connect_proxy(secure_media.port, certificate=certificate) as secure_proxy:
        network = replace(LOOPBACK, proxy=secure_proxy.url, tls=lambda: context, resolve=resolver())
        with pytest.raises(ssl.SSLCertVerificationError):
            read("https://media.example.com/a.mp4", network)
        context.load_verify_locations(certificate)
        staging_file = io.BytesIO()
        download("https://media.example.com/a.mp4", staging_file, network)
        assert staging_file.getvalue() == body
        assert secure_proxy.requests == [("media.example.com:443", None)]


def test_proxy_that_refuses(secure_media: MediaServer, authority: Path) -> None:
    """The status of the proxy's response is in the error."""
    with connect_proxy(secure_media.port, status=407) as refusing:
        network = trusting(authority, proxy=refusing.url, resolve=resolver())
        with pytest.raises(OSError, match=r"proxy.*407"):
            read("https://media.example.com/a.mp4", network)


def test_no_proxy(
    secure_media: MediaServer, authority: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts in NO_PROXY are reached without the environment's proxy."""
    secure_media.serve("/a.mp4", body=b"here")
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", ".example.com")
    network = trusting(authority, resolve=resolver(media_example_com=["127.0.0.1"]))
    assert read(f"https://media.example.com:{secure_media.port}/a.mp4", network) == b"here"
    assert proxy.requests == []


def test_loopback_link_uses_no_proxy(media: MediaServer, proxy: ConnectProxy) -> None:
    """The emulator's files are fetched directly, whatever proxy is configured."""
    link = media.serve("/a.mp4", body=b"here")
    assert read(link, replace(LOOPBACK, proxy=proxy.url)) == b"here"
    assert proxy.requests == []


def test_unsupported_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is used for the media host only is reported when it is needed; the failure is not permanent."""
    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:9")
    with pytest.raises(LandingError, match=r"media\.example\.com.*HTTPS_PROXY") as caught:
        read("https://media.example.com/a.mp4", PUBLIC)
    assert not caught.value.permanent


@pytest.mark.parametrize("link", ["https://10.0.0.1/a", "https://metadata.internal/a", "https://0x7f.1/a"])
def test_proxy_is_not_a_way_around(proxy: ConnectProxy, link: str) -> None:
    """A proxy gets no request for a host whose name is private."""
    with pytest.raises(ResultRefusedError):
        read(link, replace(PUBLIC, proxy=proxy.url))
    assert proxy.requests == []


class Dialer:
    """Addresses that are dead or lead to a server on this machine; ``dialed`` lists them in the order of attempts."""

    def __init__(self, alive: dict[str, int]) -> None:
        self.alive = alive
        self.dialed: list[str] = []

    def __call__(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialed.append(address[0])
        if address[0] not in self.alive:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self.alive[address[0]]), timeout)


IPV6 = [f"2606:4700::{number}" for number in range(1, 7)]
IPV4 = [f"93.184.216.{number}" for number in range(1, 7)]


@pytest.mark.parametrize("good", [IPV4[-1], IPV6[-1]])
def test_later_attempts_reach_every_address(secure_media: MediaServer, authority: Path, good: str) -> None:
    """Eleven dead addresses before a good one are dialed once each, a few per attempt."""
    secure_media.serve("/a.mp4", body=mp4())
    dial = Dialer({good: secure_media.port})
    network = trusting(authority, resolve=resolver(media_example_com=IPV6 + IPV4), dial=dial)
    done = download("https://media.example.com/a.mp4", io.BytesIO(), network, sleep=lambda _: None)
    assert done.bytes == len(mp4())
    assert len(dial.dialed) == len(set(dial.dialed)) <= 12


def test_address_families_alternate(secure_media: MediaServer, authority: Path) -> None:
    """If one address family is unreachable, the other one is dialed second."""
    secure_media.serve("/a.mp4", body=b"here")
    dial = Dialer({IPV4[0]: secure_media.port})
    network = trusting(authority, resolve=resolver(media_example_com=IPV6 + IPV4), dial=dial)
    assert read("https://media.example.com/a.mp4", network) == b"here"
    assert dial.dialed == [IPV6[0], IPV4[0]]
    assert interleave([IPV4[0], IPV6[0], IPV6[1]]) == [IPV4[0], IPV6[0], IPV6[1]]


def test_failing_address_is_dialed_last(media: MediaServer, secure_media: MediaServer, authority: Path) -> None:
    """An address that accepts the connection and then fails does not hide the next one."""
    secure_media.serve("/a.mp4", body=mp4())
    dial = Dialer({IPV4[0]: media.port, IPV4[1]: secure_media.port})
    network = trusting(authority, resolve=resolver(media_example_com=IPV4[:2]), dial=dial)
    download("https://media.example.com/a.mp4", io.BytesIO(), network, sleep=lambda _: None)
    assert dial.dialed == IPV4[:2]


@pytest.mark.parametrize("link", ["http://media.example.com/a.mp4?x=1", "http://media.example.com:80/a.mp4?x=1"])
@pytest.mark.parametrize("network", [LOOPBACK, PUBLIC], ids=["loopback allowed", "public"])
def test_plain_http_is_requested_over_https(
    secure_media: MediaServer, authority: Path, link: str, network: Network
) -> None:
    """A plain http link is requested over https at the default port, never in clear text."""
    secure_media.serve("/a.mp4?x=1", body=b"here")
    ports: list[int] = []

    def dial(address: tuple[str, int], timeout: float) -> socket.socket:
        ports.append(address[1])
        return socket.create_connection(("127.0.0.1", secure_media.port), timeout)

    trusted = trusting(authority, resolve=resolver(media_example_com=["93.184.216.34"]), dial=dial)
    assert read(link, replace(trusted, allow_loopback=network.allow_loopback)) == b"here"
    assert ports == [443]


def test_plain_http_without_https() -> None:
    """If only plain http is served, the error says that https was requested."""
    dial = Dialer({})
    network = replace(PUBLIC, resolve=resolver(media_test=["93.184.216.34"]), dial=dial)
    with pytest.raises(LandingError, match=r"\bhttp\b.*\bhttps\b"):
        download("http://media.test:8080/a.mp4", io.BytesIO(), network, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/é/日本.mp4?q=ü", "/%C3%A9/%E6%97%A5%E6%9C%AC.mp4?q=%C3%BC"),
        ("/à Ä.mp4", "/%C3%A0%20%C3%84.mp4"),
        ("/two words.mp4?a=b c", "/two%20words.mp4?a=b%20c"),
        ("final.mp4", "/folder/final.mp4"),
        ("../final.mp4#part", "/final.mp4"),
        ("?v=2", "/folder/a.mp4?v=2"),
        ("  /final.mp4 ", "/final.mp4"),
        (r"\folder\final.mp4?a=b\c", "/folder/final.mp4?a=b\\c"),
        ("/f.mp4?sig=a%2Fb%3D&t=[1]|2'", "/f.mp4?sig=a%2Fb%3D&t=[1]|2%27"),
        ("{here}/full.mp4", "/full.mp4"),
        ("//{netloc}/other.mp4", "/other.mp4"),
        (r"\\{netloc}\other.mp4", "/other.mp4"),
        ("http:///{netloc}/other.mp4", "/other.mp4"),
    ],
)
def test_redirects_are_parsed_as_browsers_do(location: str, path: str) -> None:
    """Raw UTF-8, spaces, backslashes and relative links in a redirect lead where a browser would go."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        where = location.format(here=server.url, netloc=server.url.removeprefix("http://"))
        found = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
        here = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere"
        await write(found if request.target == "/folder/a.mp4" else here)

    with serving(respond, hangs_up=True) as server:
        assert read(f"{server.url}/folder/a.mp4", LOOPBACK) == b"here"
    assert [request.target for request in server.requests] == ["/folder/a.mp4", path]


def test_redirect_that_is_not_utf_8_keeps_its_bytes(media: MediaServer) -> None:
    """Bytes of a legacy charset are requested as they are."""
    link = media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": "/caf\xe9.mp4"}}])
    media.serve("/caf%E9.mp4", body=b"here")
    assert read(link, LOOPBACK) == b"here"


def test_internationalized_host_name(secure_media: MediaServer, tmp_path: Path) -> None:
    """A host name outside ASCII is resolved and requested in its DNS form."""
    hosts: list[str] = []

    async def respond(request: ReceivedRequest, write: Write) -> None:
        hosts.append(request.headers["host"])
        await write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")

    certificate = issue_certificate("xn--bcher-kva.example", tmp_path)
    with serving(respond, hangs_up=True, certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        network = trusting(certificate, resolve=lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", port))])
        assert read(f"https://bücher.example:{port}/a", network) == b"here"
    assert hosts == [f"xn--bcher-kva.example:{port}"]


@pytest.mark.parametrize("length", ["Content-Length: 100000\r\n", ""])
def test_failure_loses_no_bytes(length: str) -> None:
    """Bytes received before a silence are returned first, so that only the rest has to be requested."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + b"a" * 5)
        await write(b"b" * 70_000)
        await asyncio.sleep(60)

    buffer, received, has_timed_out = memoryview(bytearray(100_000)), 0, False
    network = replace(LOOPBACK, read_timeout=0.5)
    with serving(respond, hangs_up=True) as server, open_link(server.url, {}, network) as response:
        try:
            while received < len(buffer):
                received += response.read_some(buffer[received:])
        except TimeoutError:
            has_timed_out = True
    assert has_timed_out
    assert bytes(buffer[:received]) == b"a" * 5 + b"b" * 70_000


@pytest.mark.parametrize("length", ["Content-Length: 5000\r\n", ""])
def test_small_reads_lose_no_bytes(length: str) -> None:
    """Bytes that arrive together with the head are all returned, however few are read at a time."""
    body = bytes(range(250)) * 20

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + body)

    buffer, received = memoryview(bytearray(999)), b""
    with serving(respond, hangs_up=True) as server, open_link(server.url, {}, LOOPBACK) as response:
        while count := response.read_some(buffer):
            received += buffer[:count]
    assert received == body


def test_slow_bytes_are_returned_soon() -> None:
    """A read into a large buffer does not wait until it is full, so the first bytes can be checked early."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(10_000):
            await write(b"x")
            await asyncio.sleep(0.01)

    with serving(respond, hangs_up=True) as server, open_link(server.url, {}, LOOPBACK) as response:
        assert 0 < response.read_some(memoryview(bytearray(10_000))) < 1000
