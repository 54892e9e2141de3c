# SPDX-License-Identifier: Apache-2.0
"""Calls that wait for ``min_credits_left``: the wait ends however others end, and keeps nobody waiting after it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import AccessDeniedError, CreditsUnknownError, EvoLinkError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution import credits_check
from airflow_provider_evolink.execution.credits_check import credits_left
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.types import GenerationRecord
from tests.hooks.calls import LIGHTHOUSE, MODEL, PythonTask
from tests.operators.submissions import accepted

pytestmark = pytest.mark.usefixtures("no_pauses", "quick", "new_process")


def call(key: str, minimum: float = 1.0) -> GenerationRecord:
    """Generate a video."""
    return EvoLinkHook().generate(MODEL, LIGHTHOUSE, key=key, poll_interval=0.1, min_credits_left=minimum)


async def call_async(key: str) -> GenerationRecord:
    """Do the same without blocking."""
    return await EvoLinkHook().generate_async(MODEL, LIGHTHOUSE, key=key, poll_interval=0.1, min_credits_left=1.0)


def reads(emulator: EmulatorHandle) -> int:
    """Return how often the credits were read."""
    return int(emulator.control.state()["requests"].get("credits", 0))


def read_together(count: int) -> list[float | EvoLinkError]:
    """Read the credits in threads at the same time; return what each got."""
    hook = EvoLinkHook()
    assert hook.settings

    def read(_: int) -> float | EvoLinkError:
        try:
            return credits_left(hook, max_age=0.0)
        except EvoLinkError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(read, range(count)))


def until(condition: Any) -> None:
    """Wait until something holds, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def interrupted_once(condition: Any) -> Iterator[None]:
    """Send this process an interrupt as soon as something holds, which the body has to end with."""

    def interrupt() -> None:
        until(condition)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    thread.join()


def test_a_slow_read_is_shared(emulator: EmulatorHandle) -> None:
    """Those that ask while a read is under way share the next one, instead of reading one after the other."""
    emulator.control.inject("slow_response", on="credits", seconds=0.5, times=None)

    figures = read_together(8)

    assert set(figures) == {emulator.control.state()["credits"]["balance"]}
    assert reads(emulator) <= 2


def test_a_failed_read_is_shared(emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """If EvoLink does not respond, those that wait do not time out one after the other; a later call reads again."""
    connection = json.loads(emulator.airflow_connection) | {"extra": {"timeout": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))
    emulator.control.inject("slow_response", on="credits", seconds=2.0, times=8)

    errors = read_together(6)

    assert all(isinstance(error, CreditsUnknownError) and error.charged is False for error in errors)
    assert len({id(error) for error in errors}) == 6
    assert all(isinstance(error.__cause__, EvoLinkError) for error in errors if isinstance(error, CreditsUnknownError))
    assert reads(emulator) <= 8
    assert credits_left(EvoLinkHook()) == emulator.control.state()["credits"]["balance"]


def test_an_interrupt_leaves_no_place_taken(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A call that is interrupted while it waits for the price of another one keeps nobody waiting."""
    emulator.control.inject("slow_response", on="submit", seconds=2.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(task.call, lambda: call("first"))
        until(lambda: emulator.control.state()["requests"].get("submit"))
        [reading] = credits_check._readings.values()
        with interrupted_once(lambda: +reading.expected.pending):
            task.call(lambda: call("second"))
        assert first.result()["status"] == "completed"

    assert not +reading.expected.pending
    assert task.call(lambda: call("second"))["status"] == "completed"
    assert len(accepted(emulator)) == 2


def test_cancelled_calls_send_nothing_and_keep_nobody_waiting(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Calls that are cancelled while they wait are not sent, although their threads get their turn later."""
    emulator.control.inject("slow_response", on="submit", seconds=2.0)

    async def cancel_all_but_the_first() -> GenerationRecord:
        first = asyncio.ensure_future(call_async("first"))
        await asyncio.to_thread(until, lambda: emulator.control.state()["requests"].get("submit"))
        others = [asyncio.ensure_future(call_async(f"scene-{n}")) for n in range(5)]
        await asyncio.sleep(0.5)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return await first

    record = task.call(lambda: asyncio.run(cancel_all_but_the_first()))
    for thread in threading.enumerate():
        if thread.name == "evolink":
            thread.join(10)

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    [reading] = credits_check._readings.values()
    assert not +reading.expected.pending
    assert task.call_again(lambda: call("scene-0"))["status"] == "completed"
    assert len(accepted(emulator)) == 2


def test_each_failure_lets_the_next_go(emulator: EmulatorHandle, task: PythonTask) -> None:
    """If every first call of a price is rejected, each gets its turn, and none waits for ever."""
    emulator.control.inject("http_error", on="submit", status=403, times=None)

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(call_async(f"scene-{n}") for n in range(5)), return_exceptions=True)

    outcomes = task.call(lambda: asyncio.run(asyncio.wait_for(all_of_them(), 60)))

    assert all(isinstance(outcome, AccessDeniedError) for outcome in outcomes)
    assert accepted(emulator) == []
