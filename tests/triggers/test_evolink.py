"""The trigger: what Airflow keeps of it, its one event, and how many of them share a triggerer."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook, async_settings
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.poller import MAX_IN_FLIGHT
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from tests.loopback import Loopback, ReceivedRequest, Write, http_response, serving
from tests.task_harness import first_event

pytestmark = pytest.mark.usefixtures("quick")

PATH = "airflow_provider_evolink.triggers.evolink.EvoLinkGenerationTrigger"


def trigger(generation_id: str = "task-unified-1", *, seconds: float = 30, **changes: Any) -> EvoLinkGenerationTrigger:
    """A trigger that asks every 50 ms."""
    now = time.time()
    given = {"submitted_at": now, "deadline": now + seconds, "poll_interval": 0.05, **changes}
    return EvoLinkGenerationTrigger(given.pop("evolink_conn_id", "evolink_default"), generation_id, **given)


@pytest.fixture
def made(emulator: EmulatorHandle) -> str:
    """The id of a generation that was just submitted."""
    hook = EvoLinkHook()
    prepared = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    return hook.submit(prepared, "airflow-0123456789abcdef").generation.id


def test_serialize_round_trip() -> None:
    """What Airflow stores makes the same trigger again, in plain JSON."""
    watch = Watch("task-unified-1", 100.5, 200.5, poll_interval=7.0, estimated_time=120.0, unreachable_timeout=300.0)
    one = EvoLinkGenerationTrigger.for_watch(watch, "my_conn")

    path, kwargs = one.serialize()
    again = EvoLinkGenerationTrigger(**json.loads(json.dumps(kwargs)))

    assert path == PATH
    assert again.serialize() == one.serialize()
    assert (again.watch, again.evolink_conn_id) == (watch, "my_conn")


def test_rows_of_other_versions() -> None:
    """A row outlives an upgrade either way: later arguments are ignored, and those that are missing have defaults."""
    kwargs = {"evolink_conn_id": "my_conn", "generation_id": "task-unified-1", "submitted_at": 1.0, "deadline": 2.0}

    plain = EvoLinkGenerationTrigger(**kwargs)
    later = EvoLinkGenerationTrigger(**kwargs, of_a_later_version={"x": 1}, another=None)

    assert plain.serialize() == later.serialize()
    assert plain.watch == Watch("task-unified-1", 1.0, 2.0)


async def test_what_a_kill_says(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what stays paid for and how to collect it, in words that hold wherever the trigger or its task goes."""
    await trigger(credits_reserved=30.7).on_kill()

    [said] = [line for line in capsys.readouterr().out.splitlines() if "task-unified-1" in line]
    for part in ("This trigger stops here", "stays paid for (30.7 credits reserved)", "A retry or a clear", "Sensor("):
        assert part in said
    for untrue in ("waits no longer", "goes on at EvoLink", "The task is"):
        assert untrue not in said


async def test_a_kill_asks_nobody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first look-up of a triggerer takes longer than Airflow waits, so the sentence needs none."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("Airflow was asked.")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", refuse)
    one = trigger()
    one.task_instance = None
    await one.on_kill()

    assert "stays paid for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "is_paid"), [(None, True), ("generation_failed", False), ("generation_cancelled", False)]
)
async def test_a_kill_after_the_end(
    emulator: EmulatorHandle, capsys: pytest.CaptureFixture[str], fault: str | None, is_paid: bool
) -> None:
    """What is completed can be collected; of what has failed there is nothing to say."""
    if fault:
        emulator.control.inject(fault, on="submit")
    hook = EvoLinkHook()
    prepared = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    one = trigger(hook.submit(prepared, "airflow-0123456789abcdef").generation.id)
    assert [event.payload["outcome"] async for event in one.run()] == ["terminal"]
    await one.on_kill()

    assert ("stays paid for" in capsys.readouterr().out) is is_paid


async def test_nothing_secret_is_kept(emulator: EmulatorHandle, made: str) -> None:
    """Neither its arguments nor its event hold a key, a prompt, a link or a host, before or after it ran."""
    one = trigger(made)
    before = one.serialize()
    event = await first_event(one)

    kept = json.dumps([before, one.serialize(), event]) + repr(one)
    for secret in (emulator.api_key, "lighthouse", "http", "/media/"):
        assert secret not in kept


async def test_one_event(emulator: EmulatorHandle, made: str) -> None:
    """It yields exactly one event and ends."""
    events = [event.payload async for event in trigger(made).run()]

    assert events == [{"generation_id": made, "outcome": "terminal", "status": "completed", "detail": None}]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("generation_failed", "failed"), ("moderation_rejected", "failed"), ("generation_cancelled", "cancelled")],
)
async def test_a_generation_that_failed_is_an_event_too(emulator: EmulatorHandle, fault: str, status: str) -> None:
    """A typed error would be lost on its way from a trigger, so even failures are events."""
    emulator.control.inject(fault, on="submit")
    hook = EvoLinkHook()
    prepared = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
    generation_id = hook.submit(prepared, "airflow-0123456789abcdef").generation.id

    event = await first_event(trigger(generation_id))

    assert (event["outcome"], event["status"]) == ("terminal", status)


async def test_other_ends(emulator: EmulatorHandle, made: str) -> None:
    """A deadline, an unknown id, and a service that can't be asked are events as well."""
    emulator.control.set_speed(0.1)
    assert (await first_event(trigger(made, seconds=0.2)))["outcome"] == "deadline"

    unknown = trigger("task-unified-1-unknown", submitted_at=time.time() - 100)
    event = await first_event(unknown)
    assert event["outcome"] == "refused"
    assert event["detail"] == "GenerationNotFoundError HTTP 404 task_not_found"

    emulator.control.inject("html_response", on="read", times=None)
    event = await first_event(trigger(made, unreachable_timeout=0.2))
    assert event["outcome"] == "unreachable"
    assert event["detail"] == "InvalidResponseError"


async def test_a_connection_that_the_triggerer_does_not_know() -> None:
    """As with teams: a worker may know it, so it is handed over at once, with nothing asked."""
    event = await first_event(trigger(evolink_conn_id="of_another_team"))

    assert (event["outcome"], event["detail"]) == ("no_connection", "ConnectionNotFoundError")


async def test_a_connection_that_leads_elsewhere_now(
    crowd: tuple[Crowd, Loopback], lookups: list[str], emulator: EmulatorHandle, made: str
) -> None:
    """Old generations end where they were accepted, new ones at the connection's new host, for one more look-up."""
    old = asyncio.create_task(first_event(trigger(made)))
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


async def test_a_trigger_that_starts_again_goes_on(emulator: EmulatorHandle, made: str) -> None:
    """A triggerer that is stopped and a new one that takes its rows over: the second gives the event."""
    emulator.control.set_speed(1)
    one = trigger(made)
    first = asyncio.create_task(first_event(one))
    await asyncio.sleep(0.2)
    first.cancel()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)

    emulator.control.advance(1000)
    assert (await first_event(one))["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


# Many at once


class Crowd:
    """A service for many generations: each is completed at its third question."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.bodies: list[bytes] = []

    async def answer(self, request: ReceivedRequest, write: Write) -> None:
        """Tell about a generation, or about many."""
        if request.method == "POST":
            await write(http_response({"data": [self._told(one) for one in json.loads(request.body)["task_ids"]]}))
        else:
            await write(http_response(self._told(request.target.rpartition("/")[2])))

    def _told(self, generation_id: str) -> dict[str, str]:
        self.requests[generation_id] += 1
        status = "completed" if self.requests[generation_id] >= 3 else "processing"
        return {"id": generation_id, "status": status}


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Crowd, Loopback]]:
    """The service as the connection ``evolink_default``."""
    one = Crowd()
    with serving(one.answer) as server:
        connection = {"conn_type": "evolink", "host": server.url, "password": "sk-planted-key-4711"}
        monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))
        yield one, server


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every look-up of a connection, as it happens."""
    seen: list[str] = []

    async def counted(conn_id: str) -> Any:
        seen.append(conn_id)
        return await async_settings(conn_id)

    monkeypatch.setattr("airflow_provider_evolink.triggers.evolink.async_settings", counted)
    return seen


async def test_two_hundred_triggers(crowd: tuple[Crowd, Loopback], lookups: list[str]) -> None:
    """Two hundred triggers of one triggerer cost one look-up and at most eight connections, and each ends once."""
    service, server = crowd
    ids = [f"task-unified-{number:04}" for number in range(200)]

    events = await asyncio.gather(*(first_event(trigger(one)) for one in ids))

    assert [event["generation_id"] for event in events] == ids
    assert {event["outcome"] for event in events} == {"terminal"}
    assert len(server.requests) < 3 * len(ids) / 10
    assert service.asked == dict.fromkeys(ids, 3)
    assert lookups == ["evolink_default"]
    assert server.connections <= MAX_IN_FLIGHT


def test_each_run_of_a_loop_is_its_own(crowd: tuple[Crowd, Loopback], lookups: list[str]) -> None:
    """``dag.test()`` runs each trigger in a loop of its own, one after the other."""
    run: Callable[[str], Any] = lambda one: asyncio.run(first_event(trigger(one)))  # noqa: E731 - the shortest form

    assert [run(f"task-unified-{number}")["status"] for number in range(3)] == ["completed"] * 3
    assert len(lookups) == 3


def test_it_never_submits(crowd: tuple[Crowd, Loopback]) -> None:
    """All that a trigger sends are questions."""
    _, server = crowd

    asyncio.run(first_event(trigger()))

    assert {(request.method, request.target, request.body) for request in server.requests} == {
        ("GET", "/v1/tasks/task-unified-1", b"")
    }
