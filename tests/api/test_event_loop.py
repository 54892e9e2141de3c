# SPDX-License-Identifier: Apache-2.0
"""The event loop of `run` ends with its operation."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_evolink.api.client import EvoLinkClient, run
from airflow_provider_evolink.api.errors import NotSentError
from airflow_provider_evolink.api.settings import Settings


class HangingResolver:
    """A name lookup that hangs until it is released."""

    def __init__(self) -> None:
        self.is_released = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Hang for a minute at most, then fail."""
        self.threads.append(threading.current_thread())
        self.is_released.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "released")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingResolver]:
    """Replace the machine's resolver with one that hangs."""
    hanging = HangingResolver()
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    yield hanging
    hanging.is_released.set()
    for thread in hanging.threads:
        thread.join()


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_hanging_lookup_delays_nothing(
    resolver: HangingResolver, monkeypatch: pytest.MonkeyPatch, is_nested: bool
) -> None:
    """A request times out after the connect timeout, while the resolver's threads still hang."""
    monkeypatch.setattr("airflow_provider_evolink.api.transports.httpx_transport.CONNECT_SECONDS", 0.2)
    settings = Settings(base_url="https://api.nowhere.example", api_key="sk-planted-key-4711")

    async def read_credits() -> Any:
        async with EvoLinkClient(settings) as client:
            return await client.credits()

    async def read_credits_within_a_loop() -> Any:
        return run(read_credits)

    with pytest.raises(NotSentError, match="ConnectTimeout"):
        asyncio.run(read_credits_within_a_loop()) if is_nested else run(read_credits)

    assert not resolver.is_released.is_set()
    assert resolver.threads
    # Neither the loop nor the exit of the process waits for them.
    assert all(thread.is_alive() and thread.daemon for thread in resolver.threads)


def test_names_are_resolved() -> None:
    """The results and the failures of the resolver are passed on."""

    async def resolve_both() -> tuple[Any, BaseException]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        [failure] = await asyncio.gather(loop.getaddrinfo("a" * 70 + ".example", 80), return_exceptions=True)
        assert isinstance(failure, BaseException)
        return found, failure

    found, failure = run(resolve_both)
    assert found[0][4] == ("127.0.0.1", 80)
    assert isinstance(failure, OSError | UnicodeError)


def test_an_operation_waits_for_its_own_threads() -> None:
    """A thread that the operation awaits has finished when it returns."""

    async def work() -> str:
        return await asyncio.to_thread(json.dumps, {"a": 1})

    assert run(work) == '{"a": 1}'


class Interruption(BaseException):
    """Stands for what a signal handler raises, such as Airflow's timeout of a task."""


def test_an_interruption_of_a_callback_ends_the_operation() -> None:
    """A signal that hits the loop in a callback of its own ends the operation, where asyncio would only log it."""

    def interrupt() -> None:
        raise Interruption

    async def wait() -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        await asyncio.sleep(30)

    started = time.monotonic()
    with pytest.raises(Interruption):
        run(wait)

    assert time.monotonic() - started < 5
