"""Waiting for a generation that somebody else submitted."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_evolink.api.errors import GenerationTimeoutError, PollingFailedError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from tests.leaping import LeapingTime
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("quick")

MODES = {
    "deferred": {"deferrable": True},
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
}
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)


@pytest.fixture
def emulator(emulator: EmulatorHandle) -> EmulatorHandle:
    """The emulator, ten times as fast."""
    emulator.control.set_speed(1200)
    return emulator


@pytest.fixture
def record(emulator: EmulatorHandle) -> dict[str, Any]:
    """The record of a task that has submitted and not waited; the generation takes two seconds more."""
    emulator.control.set_speed(30)
    return submitted()


def submitted(harness: TaskHarness | None = None, **kwargs: Any) -> dict[str, Any]:
    """Submit a short video, and by default don't wait for it."""
    task = EvoLinkGenerateOperator(
        task_id="submit",
        model="gemini-omni-flash-text-to-video",
        parameters={"prompt": "A lighthouse", "duration": 3},
        **{"wait_for_completion": False, **kwargs},
    )
    made: dict[str, Any] = (harness or TaskHarness()).run(task)
    return made


def sensor(generation: Any, mode: str = "deferred", **kwargs: Any) -> EvoLinkGenerationSensor:
    """A sensor that asks every 50 ms."""
    given = {"poll_interval": 0.05, **MODES[mode], **kwargs}
    return EvoLinkGenerationSensor(task_id="collect", generation_id=generation, **given)


def play(harness: TaskHarness, task: EvoLinkGenerationSensor) -> Any:
    """Run a try to its end, however often the sensor asks to be scheduled again."""
    for _ in range(200):
        try:
            return harness.run(task)
        except AirflowRescheduleException:
            time.sleep(0.02)
    raise AssertionError("It never ended.")


@EVERY_MODE
def test_the_record_is_the_operators(emulator: EmulatorHandle, harness: TaskHarness, mode: str) -> None:
    """In every mode the sensor returns, and pushes, what the operator would have."""
    own = TaskHarness()
    theirs = submitted(own, wait_for_completion=True, poll_interval=0.05)

    mine = play(harness, sensor(theirs["generation_id"], mode))

    kept = [name for name in theirs if name not in ("finished_at", "usage", "submitted_at", "expires_at")]
    assert list(mine) == list(theirs)
    assert {name: mine[name] for name in kept} == {name: theirs[name] for name in kept}
    assert mine["usage"]["credits_used"] == theirs["usage"]["credits_used"]
    moments = [datetime.fromisoformat(one["submitted_at"]) for one in (mine, theirs)]
    assert abs(moments[0] - moments[1]) < timedelta(seconds=5)  # EvoLink's clock, and ours at the sending
    assert harness.ti.xcoms["generation_id"] == theirs["generation_id"]
    assert harness.ti.xcoms["result_link"] == theirs["results"][0]


@EVERY_MODE
def test_it_waits(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str) -> None:
    """A generation under way is waited for, and nothing is submitted."""
    seen = play(harness, sensor(record["generation_id"], mode))

    assert (seen["status"], len(seen["results"])) == ("completed", 1)
    assert len(harness.deferrals) == (mode == "deferred")
    assert emulator.control.state()["requests"]["submit"] == 1


@EVERY_MODE
def test_an_old_generation_is_collected(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """What has ended is collected at once, though its age is past the timeout by far."""
    emulator.control.advance(100_000)

    assert play(harness, sensor(record["generation_id"], mode, timeout=0.001))["status"] == "completed"
    assert harness.deferrals == []
    assert emulator.control.state()["requests"]["read"] == 1


def test_a_record_may_be_given(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]) -> None:
    """The operator's whole record will do instead of its id."""
    assert play(harness, sensor(record))["generation_id"] == record["generation_id"]


@pytest.mark.parametrize("given", [None, "", "x", "../credits", 5, {}, {"generation_id": None}, ["task-unified-1"]])
def test_what_is_no_id(emulator: EmulatorHandle, harness: TaskHarness, given: Any) -> None:
    """What can be no generation ends the task at once, by name, and nothing is sent."""
    with pytest.raises(EvoLinkFailException, match="generation_id="):
        play(harness, sensor(given))
    assert emulator.control.state()["requests"]["total"] == 0


@EVERY_MODE
def test_not_known(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, mode: str) -> None:
    """A generation of another account ends the task with EvoLink's words, as soon as they can be believed."""
    with pytest.raises(EvoLinkFailException, match=r"task-unified-1-unknown .*404 task_not_found.* the same answer"):
        play(harness, sensor("task-unified-1-unknown", mode))
    assert 3 <= emulator.control.state()["requests"]["total"] <= 10
    assert 100 <= sum(leaping.slept) <= 150


@EVERY_MODE
@pytest.mark.parametrize("fault", ["not_found", "http_error"])
def test_a_stray_refusal_is_not_believed(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, record: dict[str, Any], mode: str, fault: str
) -> None:
    """One 404 or 403 at the first look does not end the wait for a generation that somebody has paid for."""
    emulator.control.advance(100_000)
    emulator.control.inject(fault, on="read")

    assert play(harness, sensor(record["generation_id"], mode))["status"] == "completed"


@EVERY_MODE
def test_an_outage_at_the_first_look_is_endured(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """EvoLink's own seconds of trouble, at the first look of all, cost no try."""
    emulator.control.inject("server_error", on="read", times=5, status=503)

    assert play(harness, sensor(record["generation_id"], mode))["status"] == "completed"


@EVERY_MODE
@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("moderation_rejected", {}, "ended as failed .*content_policy_violation: Content policy violation"),
        ("generation_failed", {"code": "service_error"}, "ended as failed .*service_error"),
        ("generation_cancelled", {}, "ended as cancelled"),
    ],
)
def test_failed(
    emulator: EmulatorHandle, harness: TaskHarness, mode: str, fault: str, options: dict[str, Any], words: str
) -> None:
    """A generation that failed fails the sensor for good, with id and reason: it can't submit anew."""
    emulator.control.inject(fault, on="submit", **options)
    made = submitted()["generation_id"]

    with pytest.raises(EvoLinkFailException, match=words) as caught:
        play(harness, sensor(made, mode))
    assert made in str(caught.value)
    assert "must submit it anew" in str(caught.value)


@EVERY_MODE
def test_a_generation_that_is_not_known_yet(emulator: EmulatorHandle, harness: TaskHarness, mode: str) -> None:
    """Right after its submission EvoLink may not know it: that is waited out."""
    made = submitted()["generation_id"]
    emulator.control.inject("not_found", on="read", times=2)

    assert play(harness, sensor(made, mode))["status"] == "completed"


@EVERY_MODE
def test_not_finished_in_time(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """After the timeout the text says that it goes on, and how to collect it."""
    emulator.control.set_speed(0.1)

    with pytest.raises((GenerationTimeoutError, AirflowSensorTimeout)) as caught:
        play(harness, sensor(record["generation_id"], mode, timeout=2, poke_interval=0.05))

    for part in (record["generation_id"], "was not finished at the deadline", "no way to cancel", "A retry goes on"):
        assert part in str(caught.value)


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
    """With ``soft_fail`` or ``never_fail`` the task is skipped instead, and its log still says why."""
    if why == "failed":
        emulator.control.inject("moderation_rejected", on="submit")
    if why == "late":
        emulator.control.set_speed(0.1)
    if why == "not known":
        request.getfixturevalue("leaping")
    made = "task-unified-1-unknown" if why == "not known" else submitted()["generation_id"]

    with pytest.raises(AirflowSkipException):
        play(harness, sensor(made, mode, timeout=1 if why == "late" else 30, poke_interval=0.05, **{switch: True}))
    reasons = {"not known": "task_not_found", "failed": "content_policy_violation", "late": "no way to cancel"}
    assert any(made in line and reasons[why] in line for line in capsys.readouterr().out.splitlines())


@EVERY_MODE
@pytest.mark.parametrize("fault", ["server_error", "connection_reset", "html_response"])
def test_failed_questions_are_endured(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str, fault: str
) -> None:
    """Questions that fail in passing cost a moment."""
    emulator.control.inject(fault, on="read", times=6, after=1)

    assert play(harness, sensor(record["generation_id"], mode))["status"] == "completed"


def test_patience_ends(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When EvoLink can't be asked for too long, a worker looks itself, and a retry goes on."""
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
def test_an_old_generation_that_goes_on_is_waited_for(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """The line that every timeout error prints waits, however long ago the generation was submitted."""
    emulator.control.inject("generation_stalled", on="submit")
    stalled = submitted()["generation_id"]
    emulator.control.advance(3 * 3600)

    task = sensor(stalled, mode, timeout=None if mode == "deferred" else 1)
    with pytest.raises((TaskDeferred, AirflowRescheduleException, GenerationTimeoutError)) as caught:
        task.execute(harness.context)

    if mode == "deferred":
        assert isinstance(caught.value, TaskDeferred)
        assert caught.value.trigger.watch.deadline == harness.ti.start_date.timestamp() + 1800
    elif mode == "reschedule":
        assert isinstance(caught.value, AirflowRescheduleException)
    else:
        assert emulator.control.state()["requests"]["read"] > 3


def test_the_time_is_that_of_the_try_over_its_deferrals(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]
) -> None:
    """A resume, and a wait that goes on after it, keep the deadline; a retry gets a new one."""
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


def test_airflows_own_timeout_says_what_ours_does(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should Airflow's clock be ahead of ours between two looks, the error still has the facts, and is retried."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"], "reschedule", timeout=5)
    monkeypatch.setattr(harness.ti, "get_first_reschedule_date", lambda _: datetime.now(UTC) - timedelta(seconds=9))
    monkeypatch.setattr(task, "_started_at", lambda _: time.time())

    with pytest.raises(GenerationTimeoutError, match=record["generation_id"]):
        task.execute(harness.context)


def test_out_of_reach_at_the_end_is_told_with_the_facts(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]
) -> None:
    """A sensor that is rescheduled, and can't ask when its time is up, says why and for which generation."""
    emulator.control.inject("server_error", on="read", times=None, status=503)

    with pytest.raises(PollingFailedError, match=rf"{record['generation_id']}.*503"):
        play(harness, sensor(record["generation_id"], "reschedule", timeout=0.05))


@pytest.mark.parametrize("mode", ["deferred", "reschedule"])
def test_inside_another_task_it_waits_on_the_worker(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """Executed by hand in a ``@task``, which can't resume it, the sensor neither defers nor is rescheduled."""
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
    """What ends the wait that a worker has taken over from a trigger is a skip too."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"], timeout=1, **{switch: True})
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    with pytest.raises(AirflowSkipException):
        task.resume_execution("__fail__", {"error": "Trigger failure"}, harness.context)
    assert "no way to cancel" in capsys.readouterr().out


def test_a_deferral_that_timed_out_looks_once_more(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]
) -> None:
    """Should every triggerer be dead, the video that is there is still taken."""
    emulator.control.set_speed(0.1)
    task = sensor(record["generation_id"])
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)

    assert task.resume_execution("__fail__", {"error": "Trigger timeout"}, harness.context)["status"] == "completed"


def test_a_trigger_holds_no_secret(emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any]) -> None:
    """What Airflow keeps of the deferral are ids and times."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor(record, timeout=timedelta(minutes=5)).execute(harness.context)

    _, kwargs = deferred.value.trigger.serialize()
    [made] = emulator.control.state()["generations"]
    assert kwargs["submitted_at"] == made["created"]
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
    """Thirty minutes as the operators, not Airflow's seven days; paced; deferred; the id is templated."""
    task = EvoLinkGenerationSensor(task_id="collect", generation_id="task-unified-1")

    assert (task.timeout, task.poll_interval, task.deferrable, task.mode) == (1800, None, True, "poke")
    assert "generation_id" in task.template_fields


@pytest.mark.parametrize("timeout", [0, -1, timedelta(days=31)])
def test_a_timeout_that_is_none(timeout: Any) -> None:
    """A timeout that can't be kept is refused by name, before the DAG runs."""
    with pytest.raises(Exception, match="timeout"):
        EvoLinkGenerationSensor(task_id="collect", generation_id="task-unified-1", timeout=timeout)


@EVERY_MODE
def test_a_mistake_does_not_deny_what_is_paid(
    emulator: EmulatorHandle, harness: TaskHarness, record: dict[str, Any], mode: str
) -> None:
    """In every mode, a setting that makes no sense says that the generation is paid for, not that nothing was."""
    emulator.control.set_speed(0.1)

    with pytest.raises(PollingFailedError, match=f"{record['generation_id']} is paid for.*poll_interval: at least"):
        play(harness, sensor(record["generation_id"], mode, poll_interval=0.01))
