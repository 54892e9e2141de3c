# SPDX-License-Identifier: Apache-2.0
"""Tests of what differs between the supported Airflow versions."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from airflow.sdk import BaseOperator, Connection

from airflow_provider_evolink.compat import events_since, forward_kills
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook, async_settings

if TYPE_CHECKING:
    from airflow.sdk import Context


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Record the threads that look up a connection with Airflow's blocking call."""
    threads: list[threading.Thread] = []
    lookup = EvoLinkHook.get_connection

    def recorded(conn_id: str) -> Connection:
        threads.append(threading.current_thread())
        return lookup(conn_id)

    monkeypatch.setattr(EvoLinkHook, "get_connection", staticmethod(recorded))
    return threads


async def test_before_airflow_3_3_2_connections_are_looked_up_in_a_thread(
    emulator: EmulatorHandle, lookups: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Airflow 3.3.2, whose asynchronous lookup blocks, a thread keeps the event loop free."""
    monkeypatch.delattr(Connection, "aextra_dejson", raising=False)

    settings = await async_settings("evolink_default")

    assert settings.base_url == emulator.url
    [thread] = lookups
    assert thread is not threading.current_thread()


@pytest.mark.skipif(not hasattr(Connection, "aextra_dejson"), reason="Airflow before 3.3.2")
async def test_from_airflow_3_3_2_nothing_blocks(emulator: EmulatorHandle, lookups: list[threading.Thread]) -> None:
    """From Airflow 3.3.2 on, connections are looked up without a thread."""
    assert (await async_settings("evolink_default")).base_url == emulator.url
    assert lookups == []


def test_events_before_airflow_3_2() -> None:
    """Before Airflow 3.2, whose inlets have no filters, events that are too old are left out all the same."""
    since = datetime(2026, 11, 28, tzinfo=UTC)
    old, new = (SimpleNamespace(timestamp=since + timedelta(seconds=seconds)) for seconds in (-1, 0))

    assert list(events_since([old, new], since)) == [new]


def test_overlapping_calls_are_each_killed() -> None:
    """When several threads execute the same operator, the end of one call does not keep a kill from another."""
    killed: list[str] = []

    class Inner(BaseOperator):
        """An operator that a task executes by hand."""

        def on_kill(self) -> None:
            """Record the kill."""
            killed.append(self.task_id)

    inner, outer = Inner(task_id="inner"), BaseOperator(task_id="outer")
    context = cast("Context", {"task": outer})
    first, second = forward_kills(inner, context), forward_kills(inner, context)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)

    outer.on_kill()

    second.__exit__(None, None, None)
    assert killed == ["inner"]
