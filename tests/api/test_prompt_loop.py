"""The loop behind the synchronous face ends with its work."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_evolink.api.client import EvoLinkClient, run
from airflow_provider_evolink.api.errors import NotSentError
from airflow_provider_evolink.api.settings import Settings


class HangingResolver:
    """A name look-up that gets no answer until it is let go."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Look up a name, for a minute at the most."""
        self.threads.append(threading.current_thread())
        self.is_over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "let go")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingResolver]:
    """The machine's resolver, which hangs."""
    one = HangingResolver()
    monkeypatch.setattr(socket, "getaddrinfo", one)
    yield one
    one.is_over.set()
    for thread in one.threads:
        thread.join()


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_look_up_that_hangs_holds_nothing_up(
    resolver: HangingResolver, monkeypatch: pytest.MonkeyPatch, is_nested: bool
) -> None:
    """A request is given up after the connect limit, while the resolver's threads are still at it."""
    monkeypatch.setattr("airflow_provider_evolink.api.transports.httpx_transport.CONNECT_SECONDS", 0.2)
    settings = Settings(base_url="https://api.nowhere.example", api_key="sk-planted-key-4711")

    async def ask() -> Any:
        async with EvoLinkClient(settings) as client:
            return await client.credits()

    async def ask_within_a_loop() -> Any:
        return run(ask)

    with pytest.raises(NotSentError, match="ConnectTimeout"):
        asyncio.run(ask_within_a_loop()) if is_nested else run(ask)

    assert not resolver.is_over.is_set()
    assert resolver.threads
    # Neither the loop nor the end of the process waits for them.
    assert all(thread.is_alive() and thread.daemon for thread in resolver.threads)


def test_names_are_still_looked_up() -> None:
    """What the resolver answers, and how it fails, comes through."""

    async def both() -> tuple[Any, BaseException]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        [failure] = await asyncio.gather(loop.getaddrinfo("a" * 70 + ".example", 80), return_exceptions=True)
        assert isinstance(failure, BaseException)
        return found, failure

    found, failure = run(both)
    assert found[0][4] == ("127.0.0.1", 80)
    assert isinstance(failure, OSError | UnicodeError)


def test_threads_of_the_operation_itself_are_waited_for_by_it() -> None:
    """What an operation gives to a thread and awaits is done when it returns."""

    async def work() -> str:
        return await asyncio.to_thread(json.dumps, {"a": 1})

    assert run(work) == '{"a": 1}'
