# SPDX-License-Identifier: Apache-2.0
"""Tests of the sensor, which waits for a generation submitted elsewhere."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred
from airflow.sdk import BaseOperator

from airflow_provider_evolink.api.errors import (
    GenerationNotFoundError,
    GenerationTimeoutError,
    InvalidInputError,
    PermanentGenerationFailedError,
    PollingFailedError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from tests.hook_uses import HookUses
from tests.leaping import LeapingTime
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("quick", "no_pauses")

MODES = {
    "deferred": {"deferrable": True},
    "ended in the triggerer": {"deferrable": True, "end_in_triggerer": True},
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
}
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def emulator(emulator: EmulatorHandle) -> EmulatorHandle:
    """The emulator at ten times its usual speed."""
    emulator.control.set_speed(1200)
    return emulator


@pytest.fixture
def record(emulator: EmulatorHandle) -> dict[str, Any]:
    """Return the record of a task that submitted without waiting; the generation takes two more seconds."""
    emulator.control.set_speed(30)
    return submitted()


def submitted(harness: TaskHarness | None = None, **kwargs: Any) -> dict[str, Any]:
    """Submit a short video, by default without waiting for it, and return the record."""
    task = EvoLinkGenerateOperator(
        task_id="submit",
        model="gemini-omni-flash-text-to-video",
        parameters={"prompt": "A lighthouse", "duration": 3},
        **{"wait_for_completion": False, **kwargs},
    )
    submission: dict[str, Any] = (harness or TaskHarness()).run(task)
    return submission


def sensor(generation: Any, mode: str = "deferred", **kwargs: Any) -> EvoLinkGenerationSensor:
    """Return a sensor that polls every 50 ms."""
    given = {"poll_interval": 0.05, **MODES[mode], **kwargs}
    return EvoLinkGenerationSensor(task_id="collect", generation_id=generation, **given)


def play(harness: TaskHarness, task: EvoLinkGenerationSensor) -> Any:
    """Run a try to its end, however often the sensor is rescheduled."""
    for _ in range(200):
        try:
            return harness.run(task)
        except AirflowRescheduleException:
            time.sleep(0.02)
    raise AssertionError("the sensor was rescheduled 200 times without an end")


@EVERY_MODE
def test_the_record_equals_the_operators(emulator: EmulatorHandle, harness: TaskHarness, mode: str) -> None:
    """In every mode the sensor returns and pushes what the operator does."""
    own = TaskHarness()
    theirs = submitted(own, wait_for_completion=True, poll_interval=0.05)

    mine = play(harness, sensor(theirs["generation_id"], mode))

    equal = [name for name in theirs if name not in ("finished_at", "usage", "submitted_at", "expires_at")]
    assert list(mine) == list(theirs)
    assert {name: mine[name] for name in equal} == {name: theirs[name] for name in equal}
    assert mine["usage"]["credits_used"] == theirs["usage"]["credits_used"]
    moments = [datetime.fromisoformat(result["submitted_at"]) for result in (mine, theirs)]
    assert abs(moments[0] - moments[1]) < timedelta(seconds=5)  # EvoLink's clock, and ours at the submission
    assert harness.ti.xcoms["generation_id"] == theirs["generation_id"]
    assert harness.ti.xcoms["result_link"] == theirs["results"][0]


@EVERY_MODE
def test_the_sensor_waits(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str) -> None:
    """The sensor waits for a running generation and submits nothing."""
    result = play(harness, sensor(record["generation_id"], mode))

    assert (result["status"], len(result["results"])) == ("completed", 1)
    assert len(harness.deferrals) == MODES[mode]["deferrable"]
    assert emulator.control.state()["requests"]["submit"] == 1


@EVERY_MODE
def test_an_old_generation_is_collected(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """A generation that has ended is collected with one read, though it is much older than the timeout."""
    emulator.control.advance(100_000)

    assert play(harness, sensor(record["generation_id"], mode, timeout=0.001))["status"] == "completed"
    assert harness.deferrals == []
    assert emulator.control.state()["requests"]["read"] == 1


def test_a_record_may_be_given(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]) -> None:
    """The operator's record is accepted in place of an id."""
    assert play(harness, sensor(record))["generation_id"] == record["generation_id"]


@pytest.mark.parametrize(
    "given", [None, "None", "", "x", "../credits", 5, {}, {"generation_id": None}, ["task-unified-1"]]
)
def test_an_invalid_id(emulator: EmulatorHandle, harness: TaskHarness, given: Any) -> None:
    """A value that can't be an id fails the task at once, names the parameter, and sends nothing."""
    with pytest.raises(EvoLinkFailException, match=r"^`generation_id`=.* is invalid: must be an id such as") as caught:
        play(harness, sensor(given))
    assert isinstance(caught.value.error, InvalidInputError)
    assert emulator.control.state()["requests"]["total"] == 0


@EVERY_MODE
def test_an_unknown_generation(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, mode: str) -> None:
    """Another account's generation fails the task with EvoLink's error, once several reads have confirmed it."""
    with pytest.raises(EvoLinkFailException, match=r"task-unified-1-unknown .*404 task_not_found") as caught:
        play(harness, sensor("task-unified-1-unknown", mode))
    assert isinstance(caught.value.error, GenerationNotFoundError)
    assert 3 <= emulator.control.state()["requests"]["total"] <= 10
    assert 100 <= sum(leaping.slept) <= 150


@EVERY_MODE
@pytest.mark.parametrize("age", [5, 10**6])
def test_a_timeout_bounds_an_unknown_generation(
    emulator: EmulatorHandle, harness: TaskHarness, mode: str, age: int
) -> None:
    """EvoLink's error comes when the timeout ends, however new the id is, and no retry is left for it."""
    started = time.monotonic()
    with pytest.raises(EvoLinkFailException, match=r"404 task_not_found.*read [34] times") as caught:
        play(harness, sensor(f"task-unified-{int(time.time()) - age}-unknown", mode, timeout=3))
    assert isinstance(caught.value.error, GenerationNotFoundError)
    assert time.monotonic() - started < 10


@EVERY_MODE
def test_a_timeout_too_short_to_believe_a_refusal(emulator: EmulatorHandle, harness: TaskHarness, mode: str) -> None:
    """A single 404 fails the try, and the next one reads the generation again."""
    with pytest.raises(GenerationNotFoundError, match=r"It was read once with this response.*a retry reads"):
        play(harness, sensor("task-unified-1-unknown", mode, timeout=0.001))


@EVERY_MODE
@pytest.mark.parametrize("fault", ["not_found", "http_error"])
def test_a_stray_refusal_does_not_end_the_task(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, record: dict[str, Any], mode: str, fault: str
) -> None:
    """A single 404 or 403 at the first read does not end the wait for a paid generation."""
    emulator.control.advance(100_000)
    emulator.control.inject(fault, on="read")

    assert play(harness, sensor(record["generation_id"], mode))["status"] == "completed"


@EVERY_MODE
def test_an_outage_at_the_first_read_is_survived(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """A short outage of EvoLink at the very first read does not fail the try."""
    emulator.control.inject("server_error", on="read", times=5, status=503)

    assert play(harness, sensor(record["generation_id"], mode))["status"] == "completed"


@EVERY_MODE
@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        ("moderation_rejected", {}, "failed .*content_policy_violation: Content policy violation"),
        ("generation_failed", {"code": "service_error"}, "failed .*service_error"),
        ("generation_cancelled", {}, "cancelled"),
    ],
)
def test_failed(
    emulator: EmulatorHandle, harness: TaskHarness, mode: str, fault: str, options: dict[str, Any], reason: str
) -> None:
    """A failed generation fails the sensor permanently, with id and reason, since it can't submit a new one."""
    emulator.control.inject(fault, on="submit", **options)
    generation_id = submitted()["generation_id"]

    with pytest.raises(EvoLinkFailException, match=reason) as caught:
        play(harness, sensor(generation_id, mode))
    assert generation_id in str(caught.value)
    assert isinstance(caught.value.error, PermanentGenerationFailedError)
    assert "retry" in str(caught.value)


@EVERY_MODE
def test_a_generation_that_is_not_known_yet(emulator: EmulatorHandle, harness: TaskHarness, mode: str) -> None:
    """A generation that EvoLink does not know right after its submission is waited for."""
    generation_id = submitted()["generation_id"]
    emulator.control.inject("not_found", on="read", times=2)

    assert play(harness, sensor(generation_id, mode))["status"] == "completed"


@EVERY_MODE
def test_not_finished_in_time(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """After the timeout the error names the generation, that it can't be cancelled, and what a retry does."""
    emulator.control.set_speed(0.1)

    with pytest.raises(GenerationTimeoutError) as caught:
        play(harness, sensor(record["generation_id"], mode, timeout=2, poke_interval=0.05))

    for fact in (record["generation_id"], "cancel", "retry"):
        assert fact in str(caught.value)


@EVERY_MODE
@pytest.mark.parametrize("why", ["not known", "failed", "late"])
@pytest.mark.parametrize("switch", ["soft_fail", "never_fail"])
def test_soft_fail(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    mode: str,
    why: str,
    switch: str,
) -> None:
    """With ``soft_fail`` or ``never_fail`` the task is skipped instead, and its log still has the reason."""
    if why == "failed":
        emulator.control.inject("moderation_rejected", on="submit")
    if why == "late":
        emulator.control.set_speed(0.1)
    if why == "not known":
        request.getfixturevalue("leaping")
    generation_id = "task-unified-1-unknown" if why == "not known" else submitted()["generation_id"]

    with pytest.raises(AirflowSkipException):
        play(
            harness,
            sensor(generation_id, mode, timeout=1 if why == "late" else 30, poke_interval=0.05, **{switch: True}),
        )
    reasons = {"not known": "task_not_found", "failed": "content_policy_violation", "late": "cancel"}
    assert any(generation_id in line and reasons[why] in line for line in capsys.readouterr().out.splitlines())


@EVERY_MODE
@pytest.mark.parametrize("fault", ["server_error", "connection_reset", "html_response"])
def test_transient_failures_are_survived(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str, fault: str
) -> None:
    """Polls with transient failures only delay the result."""
    emulator.control.inject(fault, on="read", times=6, after=1)

    assert play(harness, sensor(record["generation_id"], mode))["status"] == "completed"


def test_the_unreachable_timeout_ends_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When EvoLink was unreachable for too long, the worker reads once more before it fails, and a retry resumes."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "0.2")
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"])
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    event = {"outcome": "unreachable", "status": "processing", "detail": "HTTP 502"}
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    emulator.control.inject("server_error", on="read", times=4, status=502)
    with pytest.raises(PollingFailedError, match="HTTP 502"):
        task.resume_execution("execute_complete", {"event": event}, harness.context)
    emulator.control.advance(1000)
    assert task.resume_execution("execute_complete", {"event": event}, harness.context)["status"] == "completed"


@EVERY_MODE
def test_an_old_generation_that_still_runs_is_waited_for(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """The sensor that every timeout error suggests does wait, however old the generation is."""
    emulator.control.inject("generation_stalled", on="submit")
    generation_id = submitted()["generation_id"]
    emulator.control.advance(3 * 3600)

    task = sensor(generation_id, mode, timeout=None if MODES[mode]["deferrable"] else 1)
    with pytest.raises((TaskDeferred, AirflowRescheduleException, GenerationTimeoutError)) as caught:
        task.execute(harness.context)

    if MODES[mode]["deferrable"]:
        assert isinstance(caught.value, TaskDeferred)
        assert caught.value.trigger.watch.deadline == harness.ti.start_date.timestamp() + 1800
    elif mode == "reschedule":
        assert isinstance(caught.value, AirflowRescheduleException)
    else:
        assert emulator.control.state()["requests"]["read"] > 3


def test_the_timeout_covers_all_deferrals_of_a_try(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]
) -> None:
    """A second deferral in a try keeps the deadline; a retry gets a new one."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"], timeout=600)
    with pytest.raises(TaskDeferred) as first:
        task.execute(harness.context)
    with pytest.raises(TaskDeferred) as second:
        task.execute_complete(harness.context, {"outcome": "unreachable"})
    assert second.value.trigger.watch.deadline == first.value.trigger.watch.deadline

    harness.ti.start_date += timedelta(seconds=900)
    with pytest.raises(TaskDeferred) as retried:
        task.execute(harness.context)
    assert retried.value.trigger.watch.deadline == first.value.trigger.watch.deadline + 900


def test_airflows_own_timeout_is_replaced(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Airflow times the sensor out first, the error still names the generation and is retried."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"], "reschedule", timeout=5)
    monkeypatch.setattr(harness.ti, "get_first_reschedule_date", lambda _: datetime.now(UTC) - timedelta(seconds=9))
    monkeypatch.setattr(task, "_started_at", lambda _: time.time())

    with pytest.raises(GenerationTimeoutError, match=record["generation_id"]):
        task.execute(harness.context)


def test_unreachable_at_the_deadline(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]) -> None:
    """A rescheduled sensor that can't reach EvoLink at its deadline fails with the reason and the generation."""
    emulator.control.inject("server_error", on="read", times=None, status=503)

    with pytest.raises(PollingFailedError, match=rf"{record['generation_id']}.*503"):
        play(harness, sensor(record["generation_id"], "reschedule", timeout=0.05))


@pytest.mark.parametrize("mode", ["deferred", "reschedule"])
def test_inside_another_task_it_waits_on_the_worker(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """Executed by hand inside a ``@task``, which can't resume it, the sensor waits on the worker."""
    context = {**harness.context, "task": BaseOperator(task_id="outer")}

    assert sensor(record["generation_id"], mode).execute(context)["status"] == "completed"


@pytest.mark.parametrize("switch", ["soft_fail", "never_fail"])
def test_soft_fail_after_a_broken_trigger(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    record: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    switch: str,
) -> None:
    """A timeout on the worker that took over from a broken trigger is a skip too."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"], timeout=1, **{switch: True})
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    with pytest.raises(AirflowSkipException):
        task.resume_execution("__fail__", {"error": "Trigger failure"}, harness.context)
    assert record["generation_id"] in capsys.readouterr().out


def test_a_deferral_that_timed_out_reads_once_more(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]
) -> None:
    """A finished generation is collected even if every triggerer was dead."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"])
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)

    assert task.resume_execution("__fail__", {"error": "Trigger timeout"}, harness.context)["status"] == "completed"


def test_a_trigger_holds_no_secret(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]) -> None:
    """Airflow stores only ids, times and numbers of a deferral."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor(record, timeout=timedelta(minutes=5)).execute(harness.context)

    _, kwargs = deferred.value.trigger.serialize()
    [generation] = emulator.control.state()["generations"]
    assert kwargs["submitted_at"] == generation["created"]
    assert kwargs["deadline"] == harness.ti.start_date.timestamp() + 300
    assert emulator.api_key not in str(kwargs)
    assert set(kwargs) == {
        "evolink_conn_id",
        "generation_id",
        "submitted_at",
        "deadline",
        "poll_interval",
        "estimated_time",
        "unreachable_timeout",
        "credits_reserved",
        "model",
    }


def test_defaults() -> None:
    """The sensor defers, waits 30 minutes (not Airflow's seven days), polls adaptively, and templates the id."""
    task = EvoLinkGenerationSensor(task_id="collect", generation_id="task-unified-1")

    assert (task.timeout, task.poll_interval, task.deferrable, task.mode) == (1800, None, True, "poke")
    assert "generation_id" in task.template_fields


@pytest.mark.parametrize("timeout", [0, -1, timedelta(days=31)])
def test_an_invalid_timeout(timeout: Any) -> None:
    """An invalid timeout is refused by name when the DAG is parsed."""
    with pytest.raises(Exception, match="timeout"):
        EvoLinkGenerationSensor(task_id="collect", generation_id="task-unified-1", timeout=timeout)


@EVERY_MODE
def test_an_invalid_setting_does_not_deny_the_payment(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """In every mode, an error about an invalid setting says that the generation is paid for."""
    emulator.control.set_speed(0.1)

    task = sensor(record["generation_id"], mode)
    task.poll_interval = 0.01
    with pytest.raises(PollingFailedError, match=f"{record['generation_id']} .*paid for.*poll_interval") as caught:
        play(harness, task)
    assert "nothing was charged" not in str(caught.value).lower()


@pytest.mark.parametrize("mode", ["deferred", "reschedule"])
def test_one_hook_and_one_lookup_per_execution(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    record: dict[str, Any],
    mode: str,
    hook_uses: HookUses,
) -> None:
    """Each execution of the sensor, also after a deferral, makes one hook and looks up the connection once."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"], mode)
    with pytest.raises((TaskDeferred, AirflowRescheduleException)):
        task.execute(harness.context)
    assert hook_uses == HookUses(hooks=1, lookups=1)

    emulator.control.advance(1000)
    if MODES[mode]["deferrable"]:
        task.execute_complete(harness.context, {"outcome": "terminal", "status": "completed"})
    else:
        task.execute(harness.context)
    assert hook_uses == HookUses(hooks=2, lookups=2)


@EVERY_MODE
def test_a_dead_host_until_the_timeout(harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """The error names the limit that ended the wait, the host and the connection, and claims no age of the id."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"http://127.0.0.1:{server.getsockname()[1]}"
    connection = {"conn_type": "evolink", "host": host, "password": "sk-dead-0123456789"}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))

    with pytest.raises(PollingFailedError) as caught:
        play(harness, sensor("task-unified-1757165031-uyujaw3d", mode, timeout=0.3))

    text = str(caught.value)
    assert "could not be read before the deadline (`timeout`, or a shorter `execution_timeout`)." in text
    assert f"Last error: EvoLink ({host}, connection 'evolink_default') could not be reached for the status" in text
    assert text.endswith(
        "Reads are free and change nothing at EvoLink. A retry or a clear of this task waits for it again, for as "
        "long; waiting costs nothing."
    )
    for claim in ("after its submission", "unreachable_timeout", "EvoLinkGenerationSensor", "sk-dead"):
        assert claim not in text


def test_the_outage_limit_is_named_if_it_ended_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``[evolink] unreachable_timeout`` is named only where it was what ended the wait."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "0.2")
    emulator.control.inject("server_error", on="read", times=None, status=503)

    with pytest.raises(PollingFailedError, match=r"longer than \[evolink\] unreachable_timeout allows\. .* HTTP 503"):
        sensor(record["generation_id"]).resume_execution(
            "execute_complete", {"event": {"outcome": "unreachable", "detail": "HTTP 503"}}, harness.context
        )


@pytest.mark.parametrize("word", ["hello", "None", "no.digits-here"])
def test_a_word_is_no_id(emulator: EmulatorHandle, harness: TaskHarness, word: str) -> None:
    """What can't be an id is refused without a request, also if a template has rendered it."""
    task = sensor("task-unified-1757165031-uyujaw3d")
    task.generation_id = word
    before = len(emulator.control.state()["requests"])

    with pytest.raises(EvoLinkFailException, match=rf"^`generation_id`='{word}' is invalid: must be an id such as"):
        harness.run(task)
    assert len(emulator.control.state()["requests"]) == before


def test_a_refusal_has_one_remedy(harness: TaskHarness, emulator: EmulatorHandle, record: dict[str, Any]) -> None:
    """The advice of the single response is replaced: it would contradict that of the task."""
    emulator.control.inject("http_error", on="read", times=None, status=400)

    with pytest.raises(EvoLinkFailException, match="It was read ") as caught:
        play(harness, sensor(record["generation_id"], "poke", timeout=3))
    assert "A retry will be rejected again" not in str(caught.value)
    assert "this task waits for it" in str(caught.value)
