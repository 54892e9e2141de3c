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
from media_server import MediaServer, mp4

from airflow_provider_evolink.api.errors import LandingError, ResultRefusedError
from airflow_provider_evolink.landing.download import download
from airflow_provider_evolink.landing.safe_http import Network, alternating, open_link
from testkit.certificates import issue_certificate
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.loopback import ReceivedRequest, Write, serving

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


@pytest.mark.parametrize(
    "target",
    ["https://metadata.test/", "http://metadata.test/", "file:///etc/passwd", "https://[fd00::1]/", "https://[x/"],
)
def test_every_redirect_is_judged(media: MediaServer, target: str) -> None:
    """A redirect is followed only where the first link would have been."""
    link = media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": target}}])
    resolve = names(metadata_test=["169.254.169.254"])
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


@pytest.fixture
def proxy(secure_media: MediaServer) -> Iterator[ConnectProxy]:
    """A proxy through which media.example.com is reached."""
    with connect_proxy(secure_media.port) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies of whoever runs the tests are none of theirs."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize("variable", ["", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy(
    secure_media: MediaServer, authority: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Through the connection's proxy, or the environment's, the media host is reached by name; its password stays."""
    secure_media.serve("/a.mp4", body=b"here")
    through = proxy.url.replace("://", "://user:p%40ss@")
    if variable:
        monkeypatch.setenv(variable, through)
    network = trusting(authority, proxy=None if variable else through, resolve=names())
    assert read("https://media.example.com/a.mp4", network) == b"here"
    assert proxy.requests == [("media.example.com:443", "Basic dXNlcjpwQHNz")]
    assert "proxy-authorization" not in secure_media.seen[0].headers


def test_proxy_that_is_spoken_to_over_tls(secure_media: MediaServer, authority: Path, tmp_path: Path) -> None:
    """A large file comes whole through TLS within TLS, and the proxy has to prove its name too."""
    body = bytes(range(256)) * 20_000
    secure_media.serve("/a.mp4", body=body)
    certificate = issue_certificate("localhost", tmp_path)
    context = ssl.create_default_context(cafile=str(authority))
    with connect_proxy(secure_media.port, certificate=certificate) as secure_proxy:
        network = replace(HERE, proxy=secure_proxy.url, tls=lambda: context, resolve=names())
        with pytest.raises(ssl.SSLCertVerificationError):
            read("https://media.example.com/a.mp4", network)
        context.load_verify_locations(certificate)
        spool = io.BytesIO()
        download("https://media.example.com/a.mp4", spool, network)
        assert spool.getvalue() == body
        assert secure_proxy.requests == [("media.example.com:443", None)]


def test_proxy_that_says_no(secure_media: MediaServer, authority: Path) -> None:
    """What a proxy answers is in the error."""
    with connect_proxy(secure_media.port, status=407) as unwilling:
        network = trusting(authority, proxy=unwilling.url, resolve=names())
        with pytest.raises(OSError, match="the proxy answers HTTP 407"):
            read("https://media.example.com/a.mp4", network)


def test_no_proxy(
    secure_media: MediaServer, authority: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NO_PROXY names is reached without the environment's proxy."""
    secure_media.serve("/a.mp4", body=b"here")
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", ".example.com")
    network = trusting(authority, resolve=names(media_example_com=["127.0.0.1"]))
    assert read(f"https://media.example.com:{secure_media.port}/a.mp4", network) == b"here"
    assert proxy.requests == []


def test_a_link_to_this_machine_goes_through_no_proxy(media: MediaServer, proxy: ConnectProxy) -> None:
    """The emulator's files are fetched straight, whatever proxy there is."""
    link = media.serve("/a.mp4", body=b"here")
    assert read(link, replace(HERE, proxy=proxy.url)) == b"here"
    assert proxy.requests == []


def test_proxy_that_cannot_be_used_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that stands before the result's host only is named when it is met, and a retry may find a better one."""
    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:9")
    with pytest.raises(
        LandingError, match=r"media\.example\.com can't be reached: The environment's HTTPS_PROXY"
    ) as met:
        read("https://media.example.com/a.mp4", ELSEWHERE)
    assert not met.value.permanent


@pytest.mark.parametrize("link", ["https://10.0.0.1/a", "https://metadata.internal/a", "https://0x7f.1/a"])
def test_proxy_is_not_a_way_round(proxy: ConnectProxy, link: str) -> None:
    """A proxy is not asked for what is private by its very name."""
    with pytest.raises(ResultRefusedError):
        read(link, replace(ELSEWHERE, proxy=proxy.url))
    assert proxy.requests == []


class Dialled:
    """Addresses that are dead or lead to a server on this machine; ``tried`` says in which order they were dialled."""

    def __init__(self, alive: dict[str, int]) -> None:
        self.alive = alive
        self.tried: list[str] = []

    def __call__(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.tried.append(address[0])
        if address[0] not in self.alive:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self.alive[address[0]]), timeout)


SIX = [f"2606:4700::{number}" for number in range(1, 7)]
FOUR = [f"93.184.216.{number}" for number in range(1, 7)]


@pytest.mark.parametrize("good", [FOUR[-1], SIX[-1]])
def test_later_tries_reach_every_address(secure_media: MediaServer, authority: Path, good: str) -> None:
    """Eleven dead addresses before a good one are worked off, a few in each try, and not dialled again first."""
    secure_media.serve("/a.mp4", body=mp4())
    dial = Dialled({good: secure_media.port})
    network = trusting(authority, resolve=names(media_example_com=SIX + FOUR), dial=dial)
    done = download("https://media.example.com/a.mp4", io.BytesIO(), network, sleep=lambda _: None)
    assert done.bytes == len(mp4())
    assert len(dial.tried) == len(set(dial.tried)) <= 12


def test_families_take_turns(secure_media: MediaServer, authority: Path) -> None:
    """Where one family leads nowhere, the other is dialled second."""
    secure_media.serve("/a.mp4", body=b"here")
    dial = Dialled({FOUR[0]: secure_media.port})
    network = trusting(authority, resolve=names(media_example_com=SIX + FOUR), dial=dial)
    assert read("https://media.example.com/a.mp4", network) == b"here"
    assert dial.tried == [SIX[0], FOUR[0]]
    assert alternating([FOUR[0], SIX[0], SIX[1]]) == [FOUR[0], SIX[0], SIX[1]]


def test_an_address_that_answers_badly_is_dialled_last(
    media: MediaServer, secure_media: MediaServer, authority: Path
) -> None:
    """An address that takes the connection and then fails does not hide the one behind it."""
    secure_media.serve("/a.mp4", body=mp4())
    dial = Dialled({FOUR[0]: media.port, FOUR[1]: secure_media.port})
    network = trusting(authority, resolve=names(media_example_com=FOUR[:2]), dial=dial)
    download("https://media.example.com/a.mp4", io.BytesIO(), network, sleep=lambda _: None)
    assert dial.tried == FOUR[:2]


@pytest.mark.parametrize("link", ["http://media.example.com/a.mp4?x=1", "http://media.example.com:80/a.mp4?x=1"])
@pytest.mark.parametrize("network", [HERE, ELSEWHERE], ids=["beside the emulator", "elsewhere"])
def test_plain_http_is_asked_for_over_https(
    secure_media: MediaServer, authority: Path, link: str, network: Network
) -> None:
    """A link that says http is followed over https at the usual port, and never in the clear."""
    secure_media.serve("/a.mp4?x=1", body=b"here")
    ports: list[int] = []

    def dial(address: tuple[str, int], timeout: float) -> socket.socket:
        ports.append(address[1])
        return socket.create_connection(("127.0.0.1", secure_media.port), timeout)

    trusted = trusting(authority, resolve=names(media_example_com=["93.184.216.34"]), dial=dial)
    assert read(link, replace(trusted, allow_loopback=network.allow_loopback)) == b"here"
    assert ports == [443]


def test_plain_http_without_https_says_so() -> None:
    """Where only plain http is served, the error tells that it was not asked for so."""
    dial = Dialled({})
    network = replace(ELSEWHERE, resolve=names(media_test=["93.184.216.34"]), dial=dial)
    with pytest.raises(LandingError, match="says http; it is asked for over https only"):
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
def test_redirects_are_read_as_browsers_do(location: str, path: str) -> None:
    """Raw UTF-8, spaces, backslashes, relative and half links in a redirect lead where a browser would go."""

    async def answer(request: ReceivedRequest, write: Write) -> None:
        where = location.format(here=server.url, netloc=server.url.removeprefix("http://"))
        found = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
        here = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere"
        await write(found if request.target == "/folder/a.mp4" else here)

    with serving(answer, hangs_up=True) as server:
        assert read(f"{server.url}/folder/a.mp4", HERE) == b"here"
    assert [request.target for request in server.requests] == ["/folder/a.mp4", path]


def test_a_redirect_that_is_no_utf_8_keeps_its_bytes(media: MediaServer) -> None:
    """Bytes of an older charset are asked for as they are."""
    link = media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": "/caf\xe9.mp4"}}])
    media.serve("/caf%E9.mp4", body=b"here")
    assert read(link, HERE) == b"here"


def test_a_name_in_other_letters_is_reached(secure_media: MediaServer, tmp_path: Path) -> None:
    """A host that is spelled in other letters is resolved, and named in the request, as the DNS has it."""
    seen: list[str] = []

    async def answer(request: ReceivedRequest, write: Write) -> None:
        seen.append(request.headers["host"])
        await write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")

    certificate = issue_certificate("xn--bcher-kva.example", tmp_path)
    with serving(answer, hangs_up=True, certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        network = trusting(certificate, resolve=lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", port))])
        assert read(f"https://bücher.example:{port}/a", network) == b"here"
    assert seen == [f"xn--bcher-kva.example:{port}"]


@pytest.mark.parametrize("length", ["Content-Length: 100000\r\n", ""])
def test_a_failure_takes_no_bytes_with_it(length: str) -> None:
    """What came before a silence is handed out, so that only the rest has to be asked for; then the failure is told."""

    async def answer(request: ReceivedRequest, write: Write) -> None:
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

    async def answer(request: ReceivedRequest, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(10_000):
            await write(b"x")
            await asyncio.sleep(0.01)

    with serving(answer, hangs_up=True) as server, open_link(server.url, {}, HERE) as response:
        assert 0 < response.read_some(memoryview(bytearray(10_000))) < 1000
