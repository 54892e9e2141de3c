# SPDX-License-Identifier: Apache-2.0
"""Tests of the trigger that ends a sensor's task: what it leaves in XCom, and when a worker takes over."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.triggers.sensor import EvoLinkSensorTrigger
from tests.task_harness import Supervisor, TaskHarness, TaskInstance, only_event

pytestmark = pytest.mark.usefixtures("quick", "no_pauses")


def submitted() -> str:
    """Submit a short video and return its id."""
    hook = EvoLinkHook()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    return hook.submit(request, "airflow-0123456789abcdef").generation.id


def trigger(generation_id: str, *, seconds: float = 30, **changes: Any) -> EvoLinkSensorTrigger:
    """Return a trigger that polls every 50 ms."""
    now = time.time()
    given = {"submitted_at": now, "deadline": now + seconds, "poll_interval": 0.05, **changes}
    return EvoLinkSensorTrigger("evolink_default", generation_id=generation_id, **given)


async def event_of(trigger: EvoLinkSensorTrigger, ti: TaskInstance) -> TriggerEvent:
    """Run the trigger of a task instance."""
    with Supervisor(ti).serving():
        return await only_event(trigger, ti)


async def test_it_leaves_what_a_worker_does(emulator: EmulatorHandle) -> None:
    """The task ends as a success, with the same XComs as on a worker, which neither the event nor the log holds."""
    generation_id, ti = submitted(), TaskInstance(map_index=3, try_number=2)

    event = await event_of(trigger(generation_id), ti)

    on_worker = TaskHarness(ti=TaskInstance(try_number=2))
    record = on_worker.run(EvoLinkGenerationSensor(task_id="task", generation_id=generation_id))
    mine = ti.xcoms.pop("return_value")
    assert isinstance(event, TaskSuccessEvent)
    assert list(mine) == list(record)
    moments = [datetime.fromisoformat(each.pop("finished_at")) for each in (mine, record)]
    assert abs((moments[0] - moments[1]).total_seconds()) < 5
    assert mine == record
    assert ti.xcoms == {"result_link": record["results"][0], "_link_EvoLinkResultLink": record["results"][0]}
    assert event.xcoms is None
    assert "http" not in repr(event)


async def test_the_log_has_the_outcome(emulator: EmulatorHandle, capsys: pytest.CaptureFixture[str]) -> None:
    """The task's log has the generation, how many results it has, when they expire and what it cost, but no link."""
    generation_id = submitted()

    await event_of(trigger(generation_id), TaskInstance())

    log = capsys.readouterr().out
    for fact in (f"{generation_id} is completed: 1 result. Links expire at", "Cost: 29.78 credits."):
        assert fact in log
    assert "/media/" not in log


async def test_without_a_return_value(emulator: EmulatorHandle) -> None:
    """Without ``do_xcom_push`` the record is not pushed."""
    ti = TaskInstance()

    event = await event_of(trigger(submitted(), pushes_record=False), ti)

    assert isinstance(event, TaskSuccessEvent)
    assert sorted(ti.xcoms) == ["_link_EvoLinkResultLink", "result_link"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("generation_failed", "failed"), ("generation_cancelled", "cancelled"), ("no_results", "completed")],
)
async def test_what_is_no_success_resumes_on_a_worker(emulator: EmulatorHandle, fault: str, status: str) -> None:
    """A generation that has failed, or is completed without a link, is left to a worker, with nothing in XCom."""
    emulator.control.inject(fault, on="submit")
    generation_id, ti = submitted(), TaskInstance()

    event = await event_of(trigger(generation_id), ti)

    assert type(event) is TriggerEvent
    expected = {"generation_id": generation_id, "outcome": "terminal", "status": status, "detail": None}
    assert (event.payload, ti.xcoms) == (expected, {})


async def test_a_deadline_resumes_on_a_worker(emulator: EmulatorHandle) -> None:
    """A wait that ends too early is left to a worker."""
    emulator.control.set_speed(0.1)

    event = await event_of(trigger(submitted(), seconds=0.2), TaskInstance())

    assert type(event) is TriggerEvent
    assert event.payload["outcome"] == "deadline"


async def test_a_failed_read_resumes_on_a_worker(emulator: EmulatorHandle) -> None:
    """If the completed generation can't be read once more, a worker reads it."""
    emulator.control.advance(1000)
    generation_id, ti = submitted(), TaskInstance()
    emulator.control.advance(1000)
    emulator.control.inject("not_found", on="read", after=1, times=None)

    event = await event_of(trigger(generation_id), ti)

    assert type(event) is TriggerEvent
    assert (event.payload["outcome"], event.payload["status"], ti.xcoms) == ("terminal", "completed", {})


async def test_an_xcom_that_can_not_be_stored_resumes_on_a_worker(
    emulator: EmulatorHandle, capsys: pytest.CaptureFixture[str]
) -> None:
    """If Airflow refuses the XCom, a worker pushes it, and the log says why."""

    class Refusing(Supervisor):
        def store(self, message: Any) -> None:
            raise RuntimeError("the database is read-only")

    ti = TaskInstance()
    with Refusing(ti).serving():
        event = await only_event(trigger(submitted()), ti)

    assert type(event) is TriggerEvent
    assert event.payload["outcome"] == "terminal"
    assert "the database is read-only" in capsys.readouterr().out


async def test_without_a_task_it_resumes(emulator: EmulatorHandle) -> None:
    """In ``dag.test()``, which gives a trigger no task instance, the same process resumes the task."""
    event = await only_event(trigger(submitted()))

    assert type(event) is TriggerEvent
    assert event.payload["outcome"] == "terminal"


def test_nothing_secret_is_stored(emulator: EmulatorHandle) -> None:
    """The arguments survive the round trip through the JSON that Airflow stores, and hold no key, prompt or URL."""
    path, kwargs = trigger("task-unified-1", pushes_record=False, credits_reserved=1.5).serialize()

    assert path == "airflow_provider_evolink.triggers.sensor.EvoLinkSensorTrigger"
    restored = EvoLinkSensorTrigger(**json.loads(json.dumps(kwargs)), of_a_later_version=1)
    assert restored.serialize() == (path, kwargs)
    assert kwargs["pushes_record"] is False
    for secret in (emulator.api_key, "lighthouse", "http"):
        assert secret not in json.dumps(kwargs)
