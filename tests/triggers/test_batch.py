# SPDX-License-Identifier: Apache-2.0
"""Tests of the trigger for many generations: what Airflow stores of it, its one event, and a restarted triggerer."""

from __future__ import annotations

import asyncio
import json
import random
import string
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.wake_rule import WakeRule
from airflow_provider_evolink.triggers.batch import EvoLinkBatchTrigger
from tests.task_harness import first_event

pytestmark = pytest.mark.usefixtures("quick")

PATH = "airflow_provider_evolink.triggers.batch.EvoLinkBatchTrigger"
ALL = WakeRule(at_least=1_000_000)


def submit(count: int) -> list[str]:
    """Submit generations and return their ids."""
    hook = EvoLinkHook()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    return [hook.submit(request, f"airflow-{number:016}").generation.id for number in range(count)]


def watch(generation_id: str, *, seconds: float = 60.0, age: float = 0.0, **changes: Any) -> Watch:
    """Return a watch that polls every 50 ms."""
    submitted_at = time.time() - age
    return Watch(generation_id, submitted_at, submitted_at + age + seconds, poll_interval=0.05, **changes)


def trigger(ids: Sequence[str], rule: WakeRule = ALL, **changes: Any) -> EvoLinkBatchTrigger:
    """Return a trigger for generations, each polled every 50 ms."""
    return EvoLinkBatchTrigger.for_watches([watch(generation_id, **changes) for generation_id in ids], rule, "my_conn")


@pytest.fixture(autouse=True)
def connection(evolink_emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> EmulatorHandle:
    """The emulator, as the connections ``my_conn`` and ``evolink_default``."""
    for name in ("MY_CONN", "EVOLINK_DEFAULT"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", evolink_emulator.airflow_connection)
    evolink_emulator.control.add_credits(10_000)
    return evolink_emulator


def test_serialize_round_trip() -> None:
    """A trigger survives the round trip through the JSON that Airflow stores."""
    original = EvoLinkBatchTrigger.for_watches(
        [watch("task-unified-1"), watch("task-unified-2")], WakeRule(2, 300.0), "my_conn", credits_reserved=61.4
    )

    path, kwargs = original.serialize()
    restored = EvoLinkBatchTrigger(**json.loads(json.dumps(kwargs)))

    assert path == PATH
    assert restored.serialize() == original.serialize()
    assert (restored.rule, restored.evolink_conn_id) == (WakeRule(2, 300.0), "my_conn")
    assert restored.credits_reserved == 61.4


def test_rows_of_other_versions() -> None:
    """A stored trigger survives an upgrade or downgrade: unknown arguments are ignored, missing ones have defaults."""
    kwargs = {"evolink_conn_id": "my_conn", "watches": trigger(["task-1"]).watches, "at_least": 7}

    plain = EvoLinkBatchTrigger(**kwargs)
    later = EvoLinkBatchTrigger(**kwargs, of_a_later_version={"x": 1}, another=None)

    assert plain.serialize() == later.serialize()
    assert plain.rule == WakeRule(7, 600.0)


def test_a_thousand_generations_take_seven_kilobytes() -> None:
    """All that Airflow stores for a thousand generations of a batch takes little more than their random characters."""
    rng = random.Random(1)
    alphabet = string.digits + string.ascii_lowercase
    ids = [f"task-unified-1757156{number // 50:03}-{''.join(rng.choices(alphabet, k=8))}" for number in range(1000)]
    watches = [Watch(ids[number], 1757156000.4 + number // 50, 1757157800.4 + number // 50) for number in range(1000)]

    stored = json.dumps(EvoLinkBatchTrigger.for_watches(watches, WakeRule(250), "evolink_default").serialize())

    assert len(stored) <= 7_300


async def test_a_kill_is_logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill logs how many generations stay paid for, the credits and what resumes them, without any request."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("on_kill made a request to Airflow")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", refuse)
    watches = [watch(f"task-unified-{number}") for number in range(1200)]
    killed = EvoLinkBatchTrigger.for_watches(watches, ALL, "my_conn", credits_reserved=36840.5)
    killed.task_instance = None
    await killed.on_kill()

    [line] = [line for line in capsys.readouterr().out.splitlines() if "This trigger stops here" in line]
    for fact in ("1,200 generations", "paid for", "36840.5 credits", "has its result", "retry", "clear"):
        assert fact in line


async def test_one_event(connection: EmulatorHandle) -> None:
    """The trigger yields exactly one event with the documented fields when all have ended, and submits nothing."""
    ids = submit(60)

    event = await first_event(trigger(ids))

    assert event == {"outcome": "terminal", "ended": 60, "watched": 60, "detail": None}
    assert connection.control.state()["requests"]["submit"] == 60


async def test_enough_have_ended(connection: EmulatorHandle) -> None:
    """The worker is woken when enough have ended, while the others go on."""
    ended = submit(5)
    connection.control.advance(1000)
    connection.control.set_speed(0.01)
    ids = [*ended, *submit(10)[5:]]

    event = await first_event(trigger(ids, WakeRule(5)))

    assert event == {"outcome": "terminal", "ended": 5, "watched": 10, "detail": None}


async def test_an_ended_generation_does_not_wait_for_long(connection: EmulatorHandle) -> None:
    """A single ended generation wakes the worker after the longest wait."""
    ended = submit(1)
    connection.control.advance(1000)
    connection.control.set_speed(0.01)
    ids = [*ended, *submit(10)[1:]]
    began = time.monotonic()

    event = await first_event(trigger(ids, WakeRule(5, longest_wait=0.5)))

    assert (event["outcome"], event["ended"]) == ("terminal", 1)
    assert 0.5 <= time.monotonic() - began < 5


async def test_every_end_is_counted(connection: EmulatorHandle) -> None:
    """Failed generations, unknown ids and passed deadlines count as ended, and the event says which they were."""
    connection.control.inject("generation_failed", on="submit", times=2)
    ids = submit(4)
    connection.control.advance(1000)
    connection.control.set_speed(0.01)
    late = submit(6)[4:]
    watches = [watch(generation_id, age=100.0) for generation_id in [*ids, "task-unified-1-unknown"]]
    watches += [watch(generation_id, seconds=0.2) for generation_id in late]

    event = await first_event(EvoLinkBatchTrigger.for_watches(watches, ALL, "my_conn"))

    assert (event["outcome"], event["ended"], event["watched"]) == ("terminal", 7, 7)
    parts = set(event["detail"].split(", "))
    assert parts == {"2 deadline", "1 refused (GenerationNotFoundError HTTP 404 task_not_found)"}


async def test_unreachable(connection: EmulatorHandle) -> None:
    """An outage longer than ``unreachable_timeout`` is an event, too."""
    ids = submit(3)
    for endpoint in ("read", "batch"):
        connection.control.inject("html_response", on=endpoint, times=None)

    event = await first_event(trigger(ids, unreachable_timeout=0.2))

    assert event == {
        "outcome": "unreachable", "ended": 0, "watched": 3, "detail": "3 unreachable (InvalidResponseError)"
    }  # fmt: skip


async def test_a_connection_that_the_triggerer_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that only workers have (multi-team) ends the trigger at once, without a request."""
    monkeypatch.delenv("AIRFLOW_CONN_MY_CONN")

    event = await first_event(trigger(["task-unified-1", "task-unified-2"]))

    assert (event["outcome"], event["ended"], event["watched"]) == ("no_connection", 0, 2)
    assert "ConnectionNotFoundError" in event["detail"]


async def test_a_restarted_trigger_resumes(connection: EmulatorHandle) -> None:
    """A new triggerer takes over from what Airflow has stored, and nothing is submitted."""
    ids = submit(30)
    connection.control.set_speed(0.01)
    restarted = trigger(ids)
    first = asyncio.create_task(first_event(restarted))
    while connection.control.state()["requests"]["batch"] < 2:  # noqa: ASYNC110 - it happens in another thread
        await asyncio.sleep(0.02)
    first.cancel()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)
    requests = connection.control.state()["requests"]
    await asyncio.sleep(0.3)
    assert connection.control.state()["requests"] == requests

    connection.control.advance(1000)
    assert await first_event(restarted) == {"outcome": "terminal", "ended": 30, "watched": 30, "detail": None}
    assert connection.control.state()["requests"]["submit"] == 30


async def test_nothing_secret_is_stored(connection: EmulatorHandle) -> None:
    """Neither arguments nor event hold an API key, a prompt, a URL or a host, before or after the run."""
    finished = trigger(submit(3))
    before = finished.serialize()
    event = await first_event(finished)

    stored = json.dumps([before, finished.serialize(), event]) + repr(finished)
    for secret in (connection.api_key, "lighthouse", "http", "/media/"):
        assert secret not in stored


async def test_the_log(connection: EmulatorHandle, capsys: pytest.CaptureFixture[str]) -> None:
    """The log says at the start how many generations are waited for, and no line names each of them."""
    ids = submit(40)
    await first_event(trigger(ids, WakeRule(10)))

    lines = capsys.readouterr().out.splitlines()
    assert sum("waiting for 40 generations, until 10 have ended" in line for line in lines) == 1
    assert not [line for line in lines if any(generation_id in line for generation_id in ids)]


async def test_the_event_is_not_sent_before_the_worker_has_exited(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a triggerer, an event is held back until Airflow has noticed that the worker exited."""
    monkeypatch.setattr("airflow_provider_evolink.triggers.base._SETTLED_SECONDS", 0.7)
    running = trigger([])
    running.task_instance = SimpleNamespace(task_id="product_videos")  # type: ignore[assignment]
    began = time.monotonic()

    assert [event.payload["watched"] async for event in running.run()] == [0]
    assert 0.7 <= time.monotonic() - began < 3
