"""What a wait endures: outages, strays, and triggers that can't go on."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_evolink.api.errors import (
    GenerationTimeoutError,
    PollingFailedError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from tests.leaping import LeapingTime
from tests.operators.orders import operator
from tests.task_harness import TaskHarness

BOTH = pytest.mark.parametrize("deferrable", [True, False])


@BOTH
@pytest.mark.parametrize(
    "fault", ["server_error", "html_response", "connection_reset", "malformed_json", "not_found", "http_error"]
)
def test_failed_questions_are_endured(
    emulator: EmulatorHandle, harness: TaskHarness, fault: str, deferrable: bool
) -> None:
    """A question that fails in passing costs a moment, never the video."""
    emulator.control.inject(fault, on="read", times=2)

    assert harness.run(operator(deferrable=deferrable))["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize("event", [{"outcome": "terminal", "status": "completed"}, {"outcome": "refused"}, None])
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("not_found", {}),
        ("html_response", {}),
        *[("http_error", {"status": status}) for status in (400, 401, 402, 403, 404)],
        ("html_response", {"status": 403}),
    ],
)
def test_a_stray_refusal_is_not_believed(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    leaping: LeapingTime,
    fault: str,
    options: dict[str, Any],
    event: dict[str, Any] | None,
) -> None:
    """Whatever a worker's one read is refused with, whatever the trigger has said, the result is handed on."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    emulator.control.inject(fault, on="read", **options)

    assert task.execute_complete(harness.context, event)["status"] == "completed"


@BOTH
def test_strays_at_the_trigger_and_at_the_worker(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    leaping: LeapingTime,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    """A generation that is old enough to be known, runs, and is denied once to each of those who ask, is waited for."""
    monkeypatch.setattr("airflow_provider_evolink.polling.policy.NOT_FOUND_GRACE", 0.0)
    emulator.control.set_speed(0.1)
    emulator.control.inject("not_found", on="read", times=2)
    task = operator(deferrable=deferrable)
    if not deferrable:
        with pytest.raises(GenerationTimeoutError):
            harness.run(operator(deferrable=False, timeout=4))
        assert emulator.control.state()["requests"]["read"] > 3
        return

    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    with pytest.raises(TaskDeferred):
        task.execute_complete(harness.context, {"outcome": "refused", "detail": "GenerationNotFoundError HTTP 404"})
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "A retry fails until the connection holds a valid API key"),
        (403, "A retry is denied until the API key"),
        (404, "A retry finds nothing either"),
    ],
)
def test_refusals_that_agree_end_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, status: int, words: str
) -> None:
    """Several alike over two minutes are believed; the text says what was tried, what is paid, what a clear does."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("http_error", on="read", status=status, times=8)

    with pytest.raises(EvoLinkFailException) as caught:
        task.execute_complete(harness.context, {"outcome": "terminal", "status": "completed"})

    [made] = emulator.control.state()["generations"]
    text = str(caught.value)
    for part in (
        words,
        "with the same answer",
        f"{made['id']} stays paid for (30.7 credits reserved)",
        "a clear of this",
    ):
        assert part in text
    assert "A retry goes on" not in text
    assert ('or, with on_clear="resubmit", pays' in text) is (status == 404)
    assert ('on, a clear with on_clear="resubmit" pays' in text) is (status != 404)
    assert emulator.control.state()["requests"]["read"] == 8

    emulator.control.advance(1000)
    assert harness.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@BOTH
def test_an_outage_at_the_last_look_is_endured(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, deferrable: bool
) -> None:
    """Four 503s in a row, when the end was seen already, cost a pause and no try."""
    task = operator(deferrable=deferrable)
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    emulator.control.advance(1000)
    emulator.control.inject("server_error", on="read", times=4, status=503)

    assert task.execute_complete(harness.context, {"outcome": "terminal"})["status"] == "completed"
    assert leaping.slept


def test_a_longer_outage_frees_the_worker(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime) -> None:
    """After a minute of 503s the task is deferred again, and only after ten is it a failure."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("server_error", on="read", times=None, status=503)

    def resumed_again_and_again() -> None:
        kwargs: dict[str, Any] = {}
        while True:
            try:
                task.execute_complete(harness.context, {"outcome": "terminal"}, **kwargs)
            except TaskDeferred as again:
                kwargs = again.kwargs or {}
                deferrals.append(again)

    deferrals: list[TaskDeferred] = []
    with pytest.raises(PollingFailedError, match=r"503.*") as caught:
        resumed_again_and_again()
    assert 8 <= len(deferrals) <= 12
    assert 590 <= sum(leaping.slept) <= 610
    assert "A retry goes on with it and submits nothing" in str(caught.value)


def test_without_a_triggerer_the_worker_endures_it_all(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime
) -> None:
    """Not deferrable, ten minutes are endured where the task is, and none more."""
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    emulator.control.inject("server_error", on="read", times=None, status=503)

    with pytest.raises(PollingFailedError, match=r"503.*"):
        operator(deferrable=False).execute_complete(harness.context, {"outcome": "terminal"})
    assert sum(leaping.slept) == pytest.approx(600, abs=10)


def test_an_outage_past_the_deadline_is_endured_too(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime
) -> None:
    """A video that was finished in time is not lost to an outage at the deadline."""
    task = operator(timeout=1)
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    leaping.slept.append(3600)
    emulator.control.inject("server_error", on="read", times=4 * 20, status=503)

    assert task.execute_complete(harness.context, {"outcome": "deadline"})["status"] == "completed"


def test_the_servers_pause_survives_into_the_error(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime
) -> None:
    """What EvoLink asks for reaches the retry policy, though the error is one of ours."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("rate_limit", on="read", times=None, retry_after=70)

    with pytest.raises(PollingFailedError) as caught:
        task.execute_complete(harness.context, {"outcome": "unreachable"})
    assert caught.value.retry_after == 70


@pytest.mark.parametrize("deferrable", [True, False])
def test_patience_ends(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """When EvoLink can't be asked for too long, and a worker can't ask either, the task fails; a retry goes on."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "2")
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    emulator.control.set_speed(0.1)
    emulator.control.inject("html_response", on="read", times=5 + 4)

    with pytest.raises(PollingFailedError, match="could not be polled for too long"):
        harness.run(operator(deferrable=deferrable))

    emulator.control.advance(1000)
    assert harness.retry(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize("outcome", ["unreachable", "refused", "terminal"])
def test_what_a_worker_finds_alive_is_waited_for_again(
    emulator: EmulatorHandle, harness: TaskHarness, outcome: str
) -> None:
    """A trigger that gave up, for a stray 404 or an outage that is over, costs a moment, not the task."""
    emulator.control.set_speed(0.1)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    with pytest.raises(TaskDeferred):
        task.execute_complete(harness.context, {"outcome": outcome, "status": "processing"})
    emulator.control.advance(1000)
    assert task.execute_complete(harness.context, {"outcome": outcome})["status"] == "completed"


def test_a_revoked_key_ends_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, leaping: LeapingTime
) -> None:
    """401 for minutes while waiting ends the task; with the key mended, a clear goes on with the same generation."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection.replace("sk-", "sk-other-"))
    event = {"outcome": "refused", "detail": "AuthenticationError HTTP 401"}
    with pytest.raises(EvoLinkFailException, match="401"):
        task.resume_execution("execute_complete", {"event": event}, harness.context)

    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection)
    assert harness.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


def test_what_goes_on_is_waited_for_without_a_triggerer_too(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not deferrable, a wait that ended for nothing goes on in the same process, after a pause."""
    stops = [
        StopPolling(Outcome.REFUSED, None, "HTTP 404"),
        StopPolling(Outcome.TERMINAL, "completed"),
        StopPolling(Outcome.UNREACHABLE),
    ]
    wait_here = EvoLinkGenerateOperator._poll_on_worker

    def played(task: EvoLinkGenerateOperator, watch: Watch) -> StopPolling:
        if stops:
            return stops.pop()
        emulator.control.advance(1000)
        return wait_here(task, watch)

    monkeypatch.setattr(EvoLinkGenerateOperator, "_poll_on_worker", played)
    emulator.control.set_speed(0.1)

    assert harness.run(operator(deferrable=False))["status"] == "completed"
    assert stops == []
    assert leaping.slept == [5.0, 5.0, 5.0]


def test_where_the_triggerer_lacks_the_connection_the_worker_waits(
    emulator: EmulatorHandle, harness: TaskHarness
) -> None:
    """A connection that only workers have, in their environment, costs their slots, and no round after round."""
    emulator.control.set_speed(60)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    assert task.execute_complete(harness.context, {"outcome": "no_connection"})["status"] == "completed"


def test_a_broken_trigger_is_told_as_what_it_is(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends no generation that has time left: the worker waits itself, and the log names the trigger's failure."""
    emulator.control.set_speed(60)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    record = task.resume_execution("__fail__", {"error": "Trigger failure"}, harness.context)

    assert record["status"] == "completed"
    said = capsys.readouterr().out
    assert "The trigger has failed (Trigger failure)" in said
    assert "deadline" not in said
