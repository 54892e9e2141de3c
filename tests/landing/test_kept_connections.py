# SPDX-License-Identifier: Apache-2.0
"""Connections to media hosts that are used for one file after another."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.landing import kept_connections
from airflow_provider_evolink.landing.download import download
from airflow_provider_evolink.landing.kept_connections import KeptConnections
from airflow_provider_evolink.landing.safe_http import Network, open_link
from tests.landing.media_server import mp4
from tests.loopback import ReceivedRequest, Write, always, http_response, serving

VIDEO = mp4()


@pytest.fixture
def network() -> Iterator[Network]:
    """A network that keeps connections."""
    kept: KeptConnections[Any] = KeptConnections()
    yield Network(allow_loopback=True, connect_timeout=2, read_timeout=2, connections=kept)
    kept.close()


def land(url: str, network: Network, count: int = 3) -> None:
    """Download the video a few times, each time under another link."""
    for number in range(count):
        file = io.BytesIO()
        download(f"{url}/{number}.mp4", file, network)
        assert file.getvalue() == VIDEO


def test_files_of_one_host_share_a_connection(network: Network) -> None:
    """One file after another comes over the same connection, and none asks the server to close it."""
    with serving(always(VIDEO)) as server:
        land(server.url, network)
        assert (len(server.requests), server.connections) == (3, 1)
        assert all("connection" not in request.headers for request in server.requests)


def test_without_a_store_each_file_has_its_own(network: Network) -> None:
    """A task that lands a single generation leaves no connection open."""
    with serving(always(VIDEO)) as server:
        land(server.url, replace(network, connections=None))
        assert server.connections == 3
        assert all(request.headers["connection"] == "close" for request in server.requests)


def test_a_connection_that_the_server_has_closed_is_replaced(network: Network) -> None:
    """A server that hangs up after each response costs no attempt."""
    with serving(always(VIDEO), hangs_up=True) as server:
        land(server.url, network)
        assert (len(server.requests), server.connections) == (3, 3)


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}], ids=["unread", "close"])
def test_only_a_finished_response_leaves_a_usable_connection(network: Network, headers: dict[str, str]) -> None:
    """A body that was not read, or a server that announces to close, ends the connection."""
    with serving(always(VIDEO, **headers)) as server:
        for _ in range(2):
            with open_link(f"{server.url}/a.mp4", {}, network) as response:
                if headers:
                    response.read()
        assert server.connections == 2


def test_an_address_that_is_no_longer_the_hosts_is_not_used(network: Network) -> None:
    """A link is checked and resolved every time: a kept connection must lead where its name leads now."""
    addresses = ["127.0.0.1"]

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    with serving(always(VIDEO)) as server:
        port, moving = server.url.rpartition(":")[2], replace(network, resolve=resolve)
        land(f"http://media.test:{port}", moving, 2)
        assert server.connections == 1
        addresses[:] = ["127.0.0.2"]
        with pytest.raises(OSError, match="refused"), open_link(f"http://media.test:{port}/a.mp4", {}, moving):
            pass
        assert server.connections == 1


def test_names_do_not_share_connections(network: Network) -> None:
    """Two hosts at one address get a connection each, as their certificates are checked by name."""
    with serving(always(VIDEO)) as server:
        port = server.url.rpartition(":")[2]
        land(f"http://127.0.0.1:{port}", network, 1)
        land(f"http://localhost:{port}", network, 1)
        assert server.connections == 2


def test_an_idle_connection_is_not_used_for_long(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few seconds, the server may be about to close it."""
    monkeypatch.setattr(kept_connections, "_MAX_IDLE_SECONDS", 0.05)
    with serving(always(VIDEO)) as server:
        land(server.url, network, 1)
        time.sleep(0.1)
        land(server.url, network, 1)
        assert server.connections == 2


def test_threads_never_share_one_at_the_same_time(network: Network) -> None:
    """Eight threads get the bytes that they asked for, over no more than eight connections."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(http_response(mp4(seed=request.target)))

    def fetch(number: int) -> bool:
        file = io.BytesIO()
        download(f"{server.url}/{number}.mp4", file, network)
        return file.getvalue() == mp4(seed=f"/{number}.mp4")

    with serving(respond) as server, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetch, range(80)))
        assert server.connections <= 8
