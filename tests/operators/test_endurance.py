# SPDX-License-Identifier: Apache-2.0
"""What a wait tolerates: outages, stray refusals, and triggers that fail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_evolink.api.errors import (
    AccessDeniedError,
    AuthenticationError,
    EvoLinkError,
    GenerationNotFoundError,
    GenerationTimeoutError,
    PollingFailedError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from tests.leaping import LeapingTime
from tests.operators.submissions import operator
from tests.task_harness import TaskHarness

BOTH = pytest.mark.parametrize("deferrable", [True, False])


@BOTH
@pytest.mark.parametrize(
    "fault", ["server_error", "html_response", "connection_reset", "malformed_json", "not_found", "http_error"]
)
def test_failed_polls_are_tolerated(
    emulator: EmulatorHandle, harness: TaskHarness, fault: str, deferrable: bool
) -> None:
    """A poll that fails with a transient error costs a moment, never the video."""
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
def test_a_stray_refusal_does_not_end_the_task(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    leaping: LeapingTime,
    fault: str,
    options: dict[str, Any],
    event: dict[str, Any] | None,
) -> None:
    """However a worker's single read is refused, and whatever the trigger reported, the result is returned."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    emulator.control.inject(fault, on="read", **options)

    assert task.execute_complete(harness.context, event)["status"] == "completed"


@BOTH
def test_stray_refusals_at_the_trigger_and_at_the_worker(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    leaping: LeapingTime,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    """A running generation that is denied once to the trigger and once to the worker is waited for."""
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
    ("status", "error_class"), [(401, AuthenticationError), (403, AccessDeniedError), (404, GenerationNotFoundError)]
)
def test_refusals_that_agree_end_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, status: int, error_class: type[EvoLinkError]
) -> None:
    """Several identical ones over two minutes are believed; the error has what was tried, paid, and how to resume."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("http_error", on="read", status=status, times=8)

    with pytest.raises(EvoLinkFailException) as caught:
        task.execute_complete(harness.context, {"outcome": "terminal", "status": "completed"})

    [generation] = emulator.control.state()["generations"]
    text = str(caught.value)
    assert type(caught.value.error) is error_class
    for fact in (
        str(status),
        "read 8 times",
        generation["id"],
        "stays paid for (30.7 credits reserved)",
        "a clear of this",
    ):
        assert fact in text
    assert 'on_clear="resubmit"' in text
    # Only a generation that is gone may be replaced at once; otherwise the error has the date from which it may.
    assert (re.search(r"From \d{4}-\d\d-\d\dT", text) is None) is (status == 404)
    assert emulator.control.state()["requests"]["read"] == 8

    emulator.control.advance(1000)
    assert harness.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@BOTH
def test_an_outage_at_the_last_read_is_tolerated(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, deferrable: bool
) -> None:
    """Four 503s in a row after the end was reported cost a pause and no try."""
    task = operator(deferrable=deferrable)
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    emulator.control.advance(1000)
    emulator.control.inject("server_error", on="read", times=4, status=503)

    assert task.execute_complete(harness.context, {"outcome": "terminal"})["status"] == "completed"
    assert leaping.slept


def test_a_longer_outage_frees_the_worker(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime) -> None:
    """After a minute of 503s the task is deferred again, and only after ten minutes does it fail."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("server_error", on="read", times=None, status=503)

    def resume_until_it_ends() -> None:
        kwargs: dict[str, Any] = {}
        while True:
            try:
                task.execute_complete(harness.context, {"outcome": "terminal"}, **kwargs)
            except TaskDeferred as deferred:
                kwargs = deferred.kwargs or {}
                deferrals.append(deferred)

    deferrals: list[TaskDeferred] = []
    start = leaping.time()
    with pytest.raises(PollingFailedError, match=r"503.*") as caught:
        resume_until_it_ends()
    assert 8 <= len(deferrals) <= 12
    assert 590 <= leaping.time() - start <= 610
    for fact in (str(caught.value.generation_id), "A retry", "submits nothing"):
        assert fact in str(caught.value)


def test_without_a_triggerer_the_worker_tolerates_it(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime
) -> None:
    """If the task is not deferrable, the worker tolerates ten minutes, and no more."""
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    emulator.control.inject("server_error", on="read", times=None, status=503)

    start = leaping.time()
    with pytest.raises(PollingFailedError, match=r"503.*"):
        operator(deferrable=False).execute_complete(harness.context, {"outcome": "terminal"})
    assert leaping.time() - start == pytest.approx(600, abs=10)


def test_an_outage_past_the_deadline_is_tolerated(
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


def test_retry_after_reaches_the_error(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime) -> None:
    """EvoLink's ``Retry-After`` reaches the retry policy, although the error is not that of a response."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("rate_limit", on="read", times=None, retry_after=70)

    with pytest.raises(PollingFailedError) as caught:
        task.execute_complete(harness.context, {"outcome": "unreachable"})
    assert caught.value.retry_after == 70


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_unreachable_timeout_ends_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """If neither the trigger nor a worker can reach EvoLink for too long, the task fails; a retry resumes it."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "2")
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    emulator.control.set_speed(0.1)
    emulator.control.inject("html_response", on="read", times=5 + 4)

    with pytest.raises(PollingFailedError):
        harness.run(operator(deferrable=deferrable))

    emulator.control.advance(1000)
    assert harness.retry(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize("outcome", ["unreachable", "refused", "terminal"])
def test_a_generation_that_still_runs_is_waited_for_again(
    emulator: EmulatorHandle, harness: TaskHarness, outcome: str
) -> None:
    """A trigger that gave up, after a stray 404 or an outage that is over, costs a moment, not the task."""
    emulator.control.set_speed(0.1)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    with pytest.raises(TaskDeferred):
        task.execute_complete(harness.context, {"outcome": outcome, "status": "processing"})
    emulator.control.advance(1000)
    assert task.execute_complete(harness.context, {"outcome": outcome})["status"] == "completed"


def test_a_revoked_api_key_ends_the_wait(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, leaping: LeapingTime
) -> None:
    """401 for minutes ends the wait; once the API key is fixed, a clear resumes the same generation."""
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


def test_a_worker_also_waits_again_for_what_still_runs(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the task is not deferrable, a wait that ended too early is resumed in the same process, after a pause."""
    stops = [
        StopPolling(Outcome.REFUSED, None, "HTTP 404"),
        StopPolling(Outcome.TERMINAL, "completed"),
        StopPolling(Outcome.UNREACHABLE),
    ]
    poll_on_worker = EvoLinkGenerateOperator._poll_on_worker

    def poll(task: EvoLinkGenerateOperator, watch: Watch) -> StopPolling:
        if stops:
            return stops.pop()
        emulator.control.advance(1000)
        return poll_on_worker(task, watch)

    monkeypatch.setattr(EvoLinkGenerateOperator, "_poll_on_worker", poll)
    emulator.control.set_speed(0.1)

    assert harness.run(operator(deferrable=False))["status"] == "completed"
    assert stops == []
    assert leaping.slept == [5.0, 5.0, 5.0]


def test_if_the_triggerer_lacks_the_connection_the_worker_waits(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connection that only workers have costs a worker slot, rather than deferral after deferral; the log says so."""
    emulator.control.set_speed(60)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    assert task.execute_complete(harness.context, {"outcome": "no_connection"})["status"] == "completed"
    assert "'evolink_default'" in capsys.readouterr().out.partition("[warning")[2]


def test_a_failed_trigger_is_logged_as_such(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed trigger ends no wait that has time left: the worker waits instead, and logs the trigger's failure."""
    emulator.control.set_speed(60)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    record = task.resume_execution("__fail__", {"error": "Trigger failure"}, harness.context)

    assert record["status"] == "completed"
    log = capsys.readouterr().out
    assert "Trigger failure" in log
    assert record["generation_id"] in log
    assert "deadline" not in log
