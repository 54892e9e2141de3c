# SPDX-License-Identifier: Apache-2.0
"""Hostile links and hostile media hosts: nothing leaves this machine, and everything is bounded.

An audit hook records every connection and every DNS lookup of this process, so that a refusal is proved to have come
before any packet.
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

from airflow_provider_evolink.api.addresses import is_public
from airflow_provider_evolink.api.errors import ConfigurationError, LandingError, ResultCorruptError, ResultRefusedError
from airflow_provider_evolink.api.transports.tls import tls_context
from airflow_provider_evolink.landing.download import download
from airflow_provider_evolink.landing.download_budget import Limits
from airflow_provider_evolink.landing.safe_http import MAX_REDIRECTS, Network, open_link
from tests import hostile
from tests.landing.media_server import MediaServer, mp4
from tests.loopback import ReceivedRequest, Write, serving

PUBLIC = "93.184.216.34"
_recorded: list[list[Any]] = []


def _record(event: str, args: tuple[Any, ...]) -> None:
    if _recorded and event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        target = args[0] if event in {"socket.getaddrinfo", "socket.gethostbyname"} else args[1]
        _recorded[-1].append(target[0] if isinstance(target, tuple) else target)


sys.addaudithook(_record)


@pytest.fixture
def packets() -> Iterator[list[Any]]:
    """Every host that was contacted or looked up during the test."""
    _recorded.append([])
    yield _recorded[-1]
    _recorded.pop()


class FakeNetwork:
    """A DNS with given answers, and connections that are refused; both are recorded."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.lookups: list[str] = []
        self.dialed: list[str] = []

    def configuration(self, **options: Any) -> Network:
        return Network(resolve=self.resolve, dial=self.dial, connect_timeout=1, read_timeout=1, **options)

    def resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.lookups.append(host)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(0, 0, 0, "", (address, port)) for address in self.answers.pop(0)]

    def dial(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialed.append(address[0])
        raise ConnectionRefusedError


# This machine, a cloud's metadata service and a private network, in every spelling that some resolver accepts.
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
    """However a private address is spelled, it is refused without a DNS lookup and without a packet."""
    network = FakeNetwork()
    for link in (f"https://{host}/a", f"https://{host}:8443/a", f"http://{host}/a"):
        with pytest.raises(ResultRefusedError):
            download(link, io.BytesIO(), network.configuration())
    assert (packets, network.lookups, network.dialed) == ([], [], [])


class PublicHost(FakeNetwork):
    """The media host as media.example.com, at a public address that leads to this machine."""

    def __init__(self, media: MediaServer, authority: Path, *answers: list[str]) -> None:
        super().__init__(*answers)
        self.port = media.port
        self.authority = authority

    def configuration(self, **options: Any) -> Network:
        return replace(
            super().configuration(**options), tls=lambda: ssl.create_default_context(cafile=str(self.authority))
        )

    def dial(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialed.append(address[0])
        return socket.create_connection(("127.0.0.1", self.port), timeout)


@pytest.mark.parametrize("host", [host for host in PRIVATE if host.isascii()])
def test_no_redirect_leads_into_a_private_network(
    secure_media: MediaServer, authority: Path, host: str, packets: list[Any]
) -> None:
    """A redirect of a public host is checked like a link: no packet is sent to its target."""
    secure_media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": f"https://{host}/a"}}])
    network = PublicHost(secure_media, authority, [PUBLIC])
    with pytest.raises(ResultRefusedError, match="public"):
        download("https://media.example.com/a.mp4", io.BytesIO(), network.configuration())
    assert set(packets) == {"127.0.0.1"}
    assert len(secure_media.requests) == 1
    assert (network.lookups, network.dialed) == (["media.example.com"], [PUBLIC])


def test_dns_rebinding(secure_media: MediaServer, authority: Path) -> None:
    """A name is dialed at the public address that was checked; if its next lookup is private, it is refused."""
    secure_media.serve("/a.mp4", faults=[{"status": 302, "headers": {"Location": "/b.mp4"}}])
    network = PublicHost(secure_media, authority, [PUBLIC], ["127.0.0.1"])
    with pytest.raises(ResultRefusedError, match=r"127\.0\.0\.1"):
        download("https://media.example.com/a.mp4", io.BytesIO(), network.configuration())
    assert network.lookups == ["media.example.com"] * 2
    assert network.dialed == [PUBLIC]
    assert [request.path for request in secure_media.requests] == ["/a.mp4"]


addresses = st.ip_addresses().map(str) | st.sampled_from(
    [PUBLIC, "8.8.8.8", "2606:4700::1111", "127.0.0.1", "::1", "x"]
)


@example([PUBLIC, "192.168.0.1"])
@example(["192.168.0.1", PUBLIC])
@given(st.lists(addresses, max_size=4))
def test_one_private_address_is_enough_to_refuse(answers: list[str]) -> None:
    """Whatever the DNS answers, only public addresses are dialed, and none if any address is not public."""
    network = FakeNetwork(answers)
    with pytest.raises((ResultRefusedError, ConnectionRefusedError)):
        read("https://media.example.com/a", network.configuration())
    assert network.dialed == (list(dict.fromkeys(answers)) if all(map(is_public, answers)) else [])


@pytest.mark.parametrize("bundle", ["/no/such/bundle.pem", "\0", __file__])
def test_invalid_ca_bundle_is_a_configuration_error(bundle: str) -> None:
    """Without its CA bundle no host can be trusted, and a retry would not change that."""
    network = FakeNetwork([PUBLIC])
    configuration = replace(network.configuration(), tls=lambda: tls_context(bundle))
    with pytest.raises(ConfigurationError, match="verify"):
        download("https://media.example.com/a.mp4", io.BytesIO(), configuration)
    assert network.dialed == []


def read(link: str, network: Network) -> bytes:
    """Follow a link and return its body."""
    with open_link(link, {}, network) as response:
        return response.read()


@settings(max_examples=300)
@given(
    st.text() | hostile.texts.map("https://{}/".format) | st.from_regex(r"https?://[\w.:@\[\]%\\-]{0,30}[/?#]?.{0,9}"),
    st.booleans(),
)
def test_any_link_is_refused_or_public(link: str, allow_loopback: bool) -> None:
    """Any text as a link fails as documented, and never leads to an address that is not public."""
    network = FakeNetwork()
    with pytest.raises((ResultRefusedError, OSError)):
        read(link, network.configuration(allow_loopback=allow_loopback))
    assert all(is_public(address) or (allow_loopback and ip_address(address).is_loopback) for address in network.dialed)


@pytest.mark.parametrize(
    "respond", [*hostile.TOO_MUCH, *hostile.BROKEN, *hostile.SLOW], ids=lambda respond: respond.__name__
)
def test_hostile_media_host_is_one_clear_error(respond: Any) -> None:
    """Endless bodies, heads, trailers and silences, and announced 10 GB: bounded in time and memory."""
    network = Network(allow_loopback=True, connect_timeout=1, read_timeout=0.3)
    limits = Limits(max_attempts=2, throughput_window=0.3)
    with serving(respond, hangs_up=True) as server:
        tracemalloc.start()
        with pytest.raises(LandingError) as caught:
            download(f"{server.url}/a.mp4", io.BytesIO(), network, limits, sleep=lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert not isinstance(caught.value, ResultRefusedError)
    assert len(server.requests) <= 2
    assert peak < 4 * 1024 * 1024


def test_announced_ten_gigabytes_are_refused() -> None:
    """A file that is announced larger than allowed is not downloaded."""
    refused = pytest.raises(ResultCorruptError, match="10737418240 bytes")
    with serving(hostile.ten_gigabytes, hangs_up=True) as server, refused:
        download(f"{server.url}/a.mp4", io.BytesIO(), Network(allow_loopback=True))
    assert len(server.requests) == 1


def test_any_response_is_a_file_or_a_documented_error(packets: list[Any]) -> None:
    """Whatever bytes a media host sends, the result is a complete file or one documented error, in a few attempts."""
    sent = {}

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(sent["raw"])

    bodies = st.binary(max_size=200).map(lambda tail: mp4(64) + tail) | hostile.pages | st.binary(max_size=50)
    with serving(respond, hangs_up=True) as server:

        @settings(max_examples=200)
        @given(hostile.raw_responses(bodies))
        def check(raw: bytes) -> None:
            sent["raw"] = raw
            server.requests.clear()
            staging_file = io.BytesIO()
            try:
                done = download(
                    f"{server.url}/a.mp4",
                    staging_file,
                    replace(FakeNetwork().configuration(allow_loopback=True), dial=socket.create_connection),
                    Limits(max_attempts=3, max_bytes=100_000),
                    sleep=lambda _: None,
                )
            except LandingError as error:
                assert str(error).isprintable()
                assert len(str(error)) < 1500
            else:
                assert (done.bytes, done.sha256) == (
                    staging_file.tell(),
                    hashlib.sha256(staging_file.getvalue()).hexdigest(),
                )
            assert len(server.requests) <= 3 * (MAX_REDIRECTS + 1)

        check()
    assert set(packets) == {"127.0.0.1"}
