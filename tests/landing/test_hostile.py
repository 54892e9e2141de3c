"""
What an enemy may do who names a link, or answers for one: nothing leaves this machine, and nothing is endless.

An audit hook sees every connection and every question to the DNS that this process tries, whoever makes it, so that a
refusal is shown to have come before any packet.
"""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media_server import MediaServer, mp4

from airflow_provider_evolink.api.addresses import is_public
from airflow_provider_evolink.api.errors import ConfigurationError, LandingError, ResultCorruptError, ResultRefusedError
from airflow_provider_evolink.api.transports.tls import tls_context
from airflow_provider_evolink.landing.download import Limits, download
from airflow_provider_evolink.landing.safe_http import MAX_REDIRECTS, Network, open_link
from tests import hostile
from tests.loopback import ReceivedRequest, Write, serving

PUBLIC = "93.184.216.34"
_heard: list[list[Any]] = []


def _hear(event: str, given: tuple[Any, ...]) -> None:
    if _heard and event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        target = given[0] if event in {"socket.getaddrinfo", "socket.gethostbyname"} else given[1]
        _heard[-1].append(target[0] if isinstance(target, tuple) else target)


sys.addaudithook(_hear)


@pytest.fixture
def packets() -> Iterator[list[Any]]:
    """Every host that a packet was to be sent to, or that was looked up, as long as the test lasts."""
    _heard.append([])
    yield _heard[-1]
    _heard.pop()


class Wire:
    """Names and connections that are not there: it answers for the DNS, refuses to dial, and notes both."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.dialled: list[str] = []

    def network(self, **how: Any) -> Network:
        return Network(resolve=self.resolve, dial=self.dial, connect_timeout=1, read_timeout=1, **how)

    def resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(0, 0, 0, "", (address, port)) for address in self.answers.pop(0)]

    def dial(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialled.append(address[0])
        raise ConnectionRefusedError


# This machine, a cloud's metadata and a private network, in every spelling that some resolver takes.
PRIVATE = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "１２７.0.0.1",  # noqa: RUF001 - full-width digits are the point
    "0",
    "0.0.0.0",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "10.0.0.1",
    "192.168.1",
    "100.64.0.1",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[64:ff9b::169.254.169.254]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00:ec2::254]",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_no_link_leads_into_a_private_network(host: str, packets: list[Any]) -> None:
    """However a private address is spelled, it is refused without a question to the DNS and without a packet."""
    wire = Wire()
    for link in (f"https://{host}/a", f"https://{host}:8443/a", f"http://{host}/a"):
        with pytest.raises(ResultRefusedError):
            download(link, io.BytesIO(), wire.network())
    assert (packets, wire.asked, wire.dialled) == ([], [], [])


class Public(Wire):
    """The media host as a stranger's: media.example.com, at a public address that leads to this machine."""

    def __init__(self, media: MediaServer, authority: Path, *answers: list[str]) -> None:
        super().__init__(*answers)
        self.port = media.port
        self.authority = authority

    def network(self, **how: Any) -> Network:
        return replace(super().network(**how), tls=lambda: ssl.create_default_context(cafile=str(self.authority)))

    def dial(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialled.append(address[0])
        return socket.create_connection(("127.0.0.1", self.port), timeout)


@pytest.mark.parametrize("host", [host for host in PRIVATE if host.isascii()])
def test_no_redirect_leads_into_a_private_network(
    secure_media: MediaServer, authority: Path, host: str, packets: list[Any]
) -> None:
    """A redirect of a public host is judged as a link is: no packet is sent to where it leads."""
    secure_media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": f"https://{host}/a"}}])
    wire = Public(secure_media, authority, [PUBLIC])
    with pytest.raises(ResultRefusedError, match="not a public address"):
        download("https://media.example.com/a.mp4", io.BytesIO(), wire.network())
    assert set(packets) == {"127.0.0.1"}
    assert len(secure_media.seen) == 1
    assert (wire.asked, wire.dialled) == (["media.example.com"], [PUBLIC])


def test_a_name_that_changes_its_mind(secure_media: MediaServer, authority: Path) -> None:
    """A name that was public when it was judged is dialled at that address; when it is private the next time, it is
    refused the next time.
    """
    secure_media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": "/b.mp4"}}])
    wire = Public(secure_media, authority, [PUBLIC], ["127.0.0.1"])
    with pytest.raises(ResultRefusedError, match=r"127\.0\.0\.1"):
        download("https://media.example.com/a.mp4", io.BytesIO(), wire.network())
    assert wire.asked == ["media.example.com"] * 2
    assert wire.dialled == [PUBLIC]
    assert [seen.path for seen in secure_media.seen] == ["/a.mp4"]


addresses = st.ip_addresses().map(str) | st.sampled_from(
    [PUBLIC, "8.8.8.8", "2606:4700::1111", "127.0.0.1", "::1", "x"]
)


@example([PUBLIC, "192.168.0.1"])
@example(["192.168.0.1", PUBLIC])
@given(st.lists(addresses, max_size=4))
def test_one_private_address_of_a_name_is_enough(found: list[str]) -> None:
    """Whatever the DNS answers, only public addresses are dialled, and none of a name that has another one too."""
    wire = Wire(found)
    with pytest.raises((ResultRefusedError, ConnectionRefusedError)):
        read("https://media.example.com/a", wire.network())
    assert wire.dialled == (list(dict.fromkeys(found)) if all(map(is_public, found)) else [])


@pytest.mark.parametrize("bundle", ["/no/such/bundle.pem", "\0", __file__])
def test_a_ca_bundle_that_is_none_is_a_mistake_in_the_connection(bundle: str) -> None:
    """Without its certificates no host can be trusted, and asking again would not bring them."""
    wire = Wire([PUBLIC])
    network = replace(wire.network(), tls=lambda: tls_context(bundle))
    with pytest.raises(ConfigurationError, match="verify"):
        download("https://media.example.com/a.mp4", io.BytesIO(), network)
    assert wire.dialled == []


def read(link: str, network: Network) -> bytes:
    """Follow a link and read what it leads to."""
    with open_link(link, {}, network) as response:
        return response.read()


@settings(max_examples=300)
@given(
    st.text() | hostile.texts.map("https://{}/".format) | st.from_regex(r"https?://[\w.:@\[\]%\\-]{0,30}[/?#]?.{0,9}"),
    st.booleans(),
)
def test_any_text_for_a_link_is_refused_or_dialled_if_public(link: str, allow_loopback: bool) -> None:
    """No text for a link, and no redirect to it, fails otherwise than documented, or reaches what is not public."""
    wire = Wire()
    with pytest.raises((ResultRefusedError, OSError)):
        read(link, wire.network(allow_loopback=allow_loopback))
    assert all(is_public(address) or (allow_loopback and ip_address(address).is_loopback) for address in wire.dialled)


@pytest.mark.parametrize("answer", [*hostile.TOO_MUCH, *hostile.BROKEN, *hostile.SLOW], ids=lambda one: one.__name__)
def test_a_hostile_media_host_is_one_clear_error(answer: Any) -> None:
    """Endless bodies, heads, trailers and silences, and 10 GB that are only promised: bounded in time and memory."""
    network = Network(allow_loopback=True, connect_timeout=1, read_timeout=0.3)
    limits = Limits(tries=2, window=0.3)
    with serving(answer, hangs_up=True) as server:
        tracemalloc.start()
        with pytest.raises(LandingError) as caught:
            download(f"{server.url}/a.mp4", io.BytesIO(), network, limits, sleep=lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert not isinstance(caught.value, ResultRefusedError)
    assert len(server.requests) <= 2
    assert peak < 4 * 1024 * 1024


def test_ten_gigabytes_are_refused_by_their_promise() -> None:
    """A file that is said to be larger than allowed is not begun."""
    refused = pytest.raises(ResultCorruptError, match="10737418240 bytes or more")
    with serving(hostile.ten_gigabytes, hangs_up=True) as server, refused:
        download(f"{server.url}/a.mp4", io.BytesIO(), Network(allow_loopback=True))
    assert len(server.requests) == 1


def test_any_answer_is_a_file_or_an_error_of_ours(packets: list[Any]) -> None:
    """Whatever a media host sends, byte by byte, ends with a whole file or one documented error, in a few tries."""
    sent = {}

    async def answer(request: ReceivedRequest, write: Write) -> None:
        await write(sent["raw"])

    bodies = st.binary(max_size=200).map(lambda tail: mp4(64) + tail) | hostile.pages | st.binary(max_size=50)
    with serving(answer, hangs_up=True) as server:

        @settings(max_examples=200)
        @given(hostile.raw_answers(bodies))
        def check(raw: bytes) -> None:
            sent["raw"] = raw
            server.requests.clear()
            spool = io.BytesIO()
            try:
                done = download(
                    f"{server.url}/a.mp4",
                    spool,
                    replace(Wire().network(allow_loopback=True), dial=socket.create_connection),
                    Limits(tries=3, max_bytes=100_000),
                    sleep=lambda _: None,
                )
            except LandingError as error:
                assert str(error).isprintable()
                assert len(str(error)) < 1500
            else:
                assert (done.bytes, done.sha256) == (spool.tell(), hashlib.sha256(spool.getvalue()).hexdigest())
            assert len(server.requests) <= 3 * (MAX_REDIRECTS + 1)

        check()
    assert set(packets) == {"127.0.0.1"}
