# SPDX-License-Identifier: Apache-2.0
"""Tests of the trigger: what Airflow stores of it, its one event, and many triggers in one triggerer."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook, async_settings
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.poll_loop import MAX_IN_FLIGHT
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from tests.loopback import Loopback, ReceivedRequest, Write, http_response, serving
from tests.task_harness import first_event

pytestmark = pytest.mark.usefixtures("quick")

PATH = "airflow_provider_evolink.triggers.evolink.EvoLinkGenerationTrigger"


def trigger(generation_id: str = "task-unified-1", *, seconds: float = 30, **changes: Any) -> EvoLinkGenerationTrigger:
    """Return a trigger that polls every 50 ms."""
    now = time.time()
    given = {"submitted_at": now, "deadline": now + seconds, "poll_interval": 0.05, **changes}
    return EvoLinkGenerationTrigger(given.pop("evolink_conn_id", "evolink_default"), generation_id, **given)


@pytest.fixture
def generation_id(emulator: EmulatorHandle) -> str:
    """Submit a generation and return its id."""
    hook = EvoLinkHook()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    return hook.submit(request, "airflow-0123456789abcdef").generation.id


def test_serialize_round_trip() -> None:
    """A trigger survives the round trip through the JSON that Airflow stores."""
    watch = Watch("task-unified-1", 100.5, 200.5, poll_interval=7.0, estimated_time=120.0, unreachable_timeout=300.0)
    original = EvoLinkGenerationTrigger.for_watch(watch, "my_conn")

    path, kwargs = original.serialize()
    restored = EvoLinkGenerationTrigger(**json.loads(json.dumps(kwargs)))

    assert path == PATH
    assert restored.serialize() == original.serialize()
    assert (restored.watch, restored.evolink_conn_id) == (watch, "my_conn")


def test_rows_of_other_versions() -> None:
    """A stored trigger survives an upgrade or downgrade: unknown arguments are ignored, missing ones have defaults."""
    kwargs = {"evolink_conn_id": "my_conn", "generation_id": "task-unified-1", "submitted_at": 1.0, "deadline": 2.0}

    plain = EvoLinkGenerationTrigger(**kwargs)
    later = EvoLinkGenerationTrigger(**kwargs, of_a_later_version={"x": 1}, another=None)

    assert plain.serialize() == later.serialize()
    assert plain.watch == Watch("task-unified-1", 1.0, 2.0)


async def test_a_kill_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A kill logs id, credits and how to collect the result, and claims nothing that may be untrue."""
    await trigger(credits_reserved=30.7).on_kill()

    [line] = [line for line in capsys.readouterr().out.splitlines() if "task-unified-1" in line]
    for fact in ("paid for", "30.7", "retry", "clear", 'EvoLinkGenerationSensor(task_id="collect"'):
        assert fact in line
    # After `airflow dags test` the task has long returned it.
    assert line.index("has its result") < line.index("retry")
    for claim in ("waits no longer", "goes on at EvoLink", "The task is"):
        assert claim not in line


async def test_a_kill_makes_no_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A triggerer's first lookup takes longer than Airflow waits for a kill, so the log line needs no request."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("on_kill generation_id a request to Airflow")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", refuse)
    killed = trigger()
    killed.task_instance = None
    await killed.on_kill()

    assert "paid for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "is_paid"), [(None, True), ("generation_failed", False), ("generation_cancelled", False)]
)
async def test_a_kill_after_the_end_of_the_generation(
    emulator: EmulatorHandle, capsys: pytest.CaptureFixture[str], fault: str | None, is_paid: bool
) -> None:
    """A kill after the end logs how to collect a completed generation, and nothing for a failed one."""
    if fault:
        emulator.control.inject(fault, on="submit")
    hook = EvoLinkHook()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    ended = trigger(hook.submit(request, "airflow-0123456789abcdef").generation.id)
    assert [event.payload["outcome"] async for event in ended.run()] == ["terminal"]
    await ended.on_kill()

    assert ("paid for" in capsys.readouterr().out) is is_paid


async def test_nothing_secret_is_stored(emulator: EmulatorHandle, generation_id: str) -> None:
    """Neither arguments nor event hold an API key, a prompt, a URL or a host, before or after the run."""
    finished = trigger(generation_id)
    before = finished.serialize()
    event = await first_event(finished)

    stored = json.dumps([before, finished.serialize(), event]) + repr(finished)
    for secret in (emulator.api_key, "lighthouse", "http", "/media/"):
        assert secret not in stored


async def test_one_event(emulator: EmulatorHandle, generation_id: str) -> None:
    """The trigger yields exactly one event, with the documented fields."""
    events = [event.payload async for event in trigger(generation_id).run()]

    assert events == [{"generation_id": generation_id, "outcome": "terminal", "status": "completed", "detail": None}]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("generation_failed", "failed"), ("moderation_rejected", "failed"), ("generation_cancelled", "cancelled")],
)
async def test_a_generation_that_failed_is_an_event_too(emulator: EmulatorHandle, fault: str, status: str) -> None:
    """A failed generation is an event too, since a trigger can't pass a typed error on."""
    emulator.control.inject(fault, on="submit")
    hook = EvoLinkHook()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    generation_id = hook.submit(request, "airflow-0123456789abcdef").generation.id

    event = await first_event(trigger(generation_id))

    assert (event["outcome"], event["status"]) == ("terminal", status)


async def test_other_ends(emulator: EmulatorHandle, generation_id: str) -> None:
    """A deadline, an unknown id and an unreachable service are events too."""
    emulator.control.set_speed(0.1)
    assert (await first_event(trigger(generation_id, seconds=0.2)))["outcome"] == "deadline"

    unknown = trigger("task-unified-1-unknown", submitted_at=time.time() - 100)
    event = await first_event(unknown)
    assert event["outcome"] == "refused"
    assert event["detail"] == "GenerationNotFoundError HTTP 404 task_not_found"

    emulator.control.inject("html_response", on="read", times=None)
    event = await first_event(trigger(generation_id, unreachable_timeout=0.2))
    assert event["outcome"] == "unreachable"
    assert event["detail"] == "InvalidResponseError"


async def test_a_connection_that_the_triggerer_does_not_know() -> None:
    """A connection that only workers have (multi-team) ends the trigger at once, without a request."""
    event = await first_event(trigger(evolink_conn_id="of_another_team"))

    assert (event["outcome"], event["detail"]) == ("no_connection", "ConnectionNotFoundError")


async def test_a_connection_whose_host_changes(
    crowd: tuple[Crowd, Loopback], lookups: list[str], emulator: EmulatorHandle, generation_id: str
) -> None:
    """Earlier generations are polled at their own host, later ones at the new host, at the cost of one lookup."""
    old = asyncio.create_task(first_event(trigger(generation_id)))
    emulator.control.set_speed(0.1)
    while emulator.control.state()["requests"]["read"] < 3:  # noqa: ASYNC110 - it happens in another thread
        await asyncio.sleep(0.02)
    _, server = crowd
    connection = {"conn_type": "evolink", "host": server.url, "password": "sk-planted-key-4711"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))
        events = await asyncio.gather(*(first_event(trigger(f"task-unified-{number:04}")) for number in range(20)))
    emulator.control.advance(1000)

    assert {event["status"] for event in [*events, await old]} == {"completed"}
    assert lookups == ["evolink_default"] * 2


async def test_a_restarted_trigger_resumes(emulator: EmulatorHandle, generation_id: str) -> None:
    """When a new triggerer takes over from a stopped one, it yields the event, and nothing is submitted."""
    emulator.control.set_speed(1)
    restarted = trigger(generation_id)
    first = asyncio.create_task(first_event(restarted))
    while not emulator.control.state()["requests"]["read"]:  # noqa: ASYNC110 - it happens in another thread
        await asyncio.sleep(0.02)
    first.cancel()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)

    emulator.control.advance(1000)
    assert (await first_event(restarted))["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


# Many triggers in one triggerer


class Crowd:
    """A service with many generations, each completed at its third poll."""

    def __init__(self) -> None:
        self.polls: Counter[str] = Counter()
        self.bodies: list[bytes] = []

    async def respond(self, request: ReceivedRequest, write: Write) -> None:
        """Respond to a read of one generation or of a batch."""
        if request.method == "POST":
            await write(
                http_response(
                    {"data": [self._poll(generation_id) for generation_id in json.loads(request.body)["task_ids"]]}
                )
            )
        else:
            await write(http_response(self._poll(request.target.rpartition("/")[2])))

    def _poll(self, generation_id: str) -> dict[str, str]:
        self.polls[generation_id] += 1
        status = "completed" if self.polls[generation_id] >= 3 else "processing"
        return {"id": generation_id, "status": status}


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Crowd, Loopback]]:
    """Serve the crowd as the connection ``evolink_default``."""
    service = Crowd()
    with serving(service.respond) as server:
        connection = {"conn_type": "evolink", "host": server.url, "password": "sk-planted-key-4711"}
        monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))
        yield service, server


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every lookup of a connection."""
    conn_ids: list[str] = []

    async def recorded(conn_id: str) -> Any:
        conn_ids.append(conn_id)
        return await async_settings(conn_id)

    monkeypatch.setattr("airflow_provider_evolink.triggers.base.async_settings", recorded)
    return conn_ids


async def test_two_hundred_triggers(crowd: tuple[Crowd, Loopback], lookups: list[str]) -> None:
    """Two hundred triggers share one lookup and at most eight connections, and each yields its own event."""
    service, server = crowd
    ids = [f"task-unified-{number:04}" for number in range(200)]

    events = await asyncio.gather(*(first_event(trigger(generation_id)) for generation_id in ids))

    assert [event["generation_id"] for event in events] == ids
    assert {event["outcome"] for event in events} == {"terminal"}
    assert len(server.requests) < 3 * len(ids) / 10
    assert service.polls == dict.fromkeys(ids, 3)
    assert lookups == ["evolink_default"]
    assert server.connections <= MAX_IN_FLIGHT


def test_each_run_of_a_loop_is_its_own(crowd: tuple[Crowd, Loopback], lookups: list[str]) -> None:
    """``dag.test()`` runs each trigger in its own event loop, one after the other."""
    events = [asyncio.run(first_event(trigger(f"task-unified-{number}"))) for number in range(3)]

    assert [event["status"] for event in events] == ["completed"] * 3
    assert len(lookups) == 3


def test_it_never_submits(crowd: tuple[Crowd, Loopback]) -> None:
    """A trigger sends reads only."""
    _, server = crowd

    asyncio.run(first_event(trigger()))

    assert {(request.method, request.target, request.body) for request in server.requests} == {
        ("GET", "/v1/tasks/task-unified-1", b"")
    }
