"""What differs between the Airflows that are supported."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest
from airflow.sdk import BaseOperator, Connection

from airflow_provider_evolink.compat import forward_kills
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook, async_settings

if TYPE_CHECKING:
    from airflow.sdk import Context


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that have looked a connection up with Airflow's blocking call."""
    threads: list[threading.Thread] = []
    blocking = EvoLinkHook.get_connection

    def noted(conn_id: str) -> Connection:
        threads.append(threading.current_thread())
        return blocking(conn_id)

    monkeypatch.setattr(EvoLinkHook, "get_connection", staticmethod(noted))
    return threads


async def test_before_airflow_3_3_2_a_thread_looks_connections_up(
    emulator: EmulatorHandle, lookups: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Airflow's own asynchronous look-up blocks, the event loop does not."""
    monkeypatch.delattr(Connection, "aextra_dejson", raising=False)

    settings = await async_settings("evolink_default")

    assert settings.base_url == emulator.url
    [thread] = lookups
    assert thread is not threading.current_thread()


@pytest.mark.skipif(not hasattr(Connection, "aextra_dejson"), reason="Airflow before 3.3.2")
async def test_from_airflow_3_3_2_nothing_blocks(emulator: EmulatorHandle, lookups: list[threading.Thread]) -> None:
    """Where Airflow looks connections up without blocking, no thread is needed."""
    assert (await async_settings("evolink_default")).base_url == emulator.url
    assert lookups == []


def test_calls_that_overlap_are_each_told_to_stop() -> None:
    """One operator may be executed by several threads at a time: the end of one call stops no word to another."""
    told: list[str] = []

    class Inside(BaseOperator):
        """What a task executes by hand."""

        def on_kill(self) -> None:
            """Note that it was told."""
            told.append(self.task_id)

    inside, outer = Inside(task_id="inside"), BaseOperator(task_id="outer")
    context = cast("Context", {"task": outer})
    first, second = forward_kills(inside, context), forward_kills(inside, context)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)

    outer.on_kill()

    second.__exit__(None, None, None)
    assert told == ["inside"]
