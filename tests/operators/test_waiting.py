# SPDX-License-Identifier: Apache-2.0
"""Waiting, its limits, and how it ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import BaseOperator

from airflow_provider_evolink.api.errors import (
    GenerationCancelledError,
    GenerationTimeoutError,
    PollingFailedError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from tests.operators.submissions import operator
from tests.task_harness import TaskHarness

BOTH = pytest.mark.parametrize("deferrable", [True, False])


@BOTH
def test_a_missed_deadline_reports_the_facts(emulator: EmulatorHandle, harness: TaskHarness, deferrable: bool) -> None:
    """The error of a missed deadline has the id, the price, what a retry does, and how to collect the result."""
    emulator.control.set_speed(0.1)

    with pytest.raises(GenerationTimeoutError) as caught:
        harness.run(operator(deferrable=deferrable, timeout=2))

    [generation] = emulator.control.state()["generations"]
    assert caught.value.generation_id == generation["id"]
    for fact in (generation["id"], "30.7 credits", "cancel", "A retry", "EvoLinkGenerationSensor("):
        assert fact in str(caught.value)


def test_a_deadline_counts_from_submission_over_all_tries(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A later try gets no new time: it reads once, and takes the result if there is one by then."""
    emulator.control.set_speed(0.1)
    with pytest.raises(GenerationTimeoutError):
        harness.run(operator(timeout=2))
    with pytest.raises(GenerationTimeoutError):
        harness.retry(operator(timeout=2))
    assert emulator.control.state()["requests"]["submit"] == 1

    emulator.control.advance(1000)
    assert harness.retry(operator(timeout=2))["status"] == "completed"


def test_execution_timeout_bounds_the_deferral(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Airflow ignores ``execution_timeout`` while a task is deferred; the earlier of both limits applies."""
    task = operator(timeout=timedelta(hours=1), execution_timeout=timedelta(seconds=50))
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(harness.context)

    watch = deferred.value.trigger.watch
    assert watch.deadline - watch.submitted_at == 50


def test_airflows_own_limit_comes_after_ours(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The deferral itself times out a minute and a half after the trigger."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(timeout=600).execute(harness.context)

    assert 600 + 80 <= deferred.value.timeout.total_seconds() <= 600 + 90


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_a_deferral_that_timed_out_reads_once_more(emulator: EmulatorHandle, harness: TaskHarness, error: str) -> None:
    """If every triggerer is dead, or the trigger fails, a completed video is still taken."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)

    record = task.resume_execution("__fail__", {"error": error}, harness.context)

    assert record["status"] == "completed"


def test_a_trigger_holds_no_secret(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """What Airflow stores in plain text of the trigger and its event: ids and times only."""
    harness.run(operator())

    [deferred] = harness.deferrals
    stored = json.dumps([deferred.trigger.serialize(), deferred.kwargs, harness.events])
    for secret in (emulator.api_key, "lighthouse", "/media/", emulator.url):
        assert secret not in stored


def test_the_result_link_is_empty_while_it_waits(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The link on the task's page is reset at the start, so that it never leads to an earlier try's result."""
    harness.ti.xcoms["result_link"] = "https://media.example/of-an-earlier-try.mp4"
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)

    assert harness.ti.xcoms["result_link"] == ""


def test_a_connection_that_breaks_after_the_payment_names_the_generation(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken connection does not end a wait permanently, and the error does not claim that nothing was sent."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", '{"conn_type": "evolink"}')

    with pytest.raises(PollingFailedError, match=r"30\.7 credits.*'evolink_default' has no API key") as caught:
        task.execute_complete(harness.context, {"outcome": "terminal"})
    assert str(caught.value.generation_id) in str(caught.value)
    assert "Nothing was sent" not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "nan", "1e14", "0", "-5", "soon"])
@pytest.mark.parametrize("option", ["default_timeout", "unreachable_timeout", "poll_interval"])
@BOTH
def test_invalid_options_are_rejected_before_paying(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: str,
    deferrable: bool,
) -> None:
    """Airflow's configuration is checked like an argument, named by section and option, and nothing is sent."""
    monkeypatch.setenv(f"AIRFLOW__EVOLINK__{option.upper()}", value)

    with pytest.raises(
        EvoLinkFailException, match=rf"^`\[evolink\] {option}`=.* is invalid: must be .*This attempt sent nothing"
    ):
        harness.run(operator(deferrable=deferrable, poll_interval=None))
    assert emulator.control.state()["requests"]["total"] == 0


def test_an_option_that_breaks_after_the_payment_names_the_generation(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken option does not end a wait permanently, and the error does not claim that nothing was sent."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "nan")

    with pytest.raises(PollingFailedError, match=r"30\.7 credits.*`\[evolink\] unreachable_timeout`=") as caught:
        task.execute_complete(harness.context, {"outcome": "terminal"})
    assert str(caught.value.generation_id) in str(caught.value)
    assert "sent nothing" not in str(caught.value)

    monkeypatch.delenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT")
    assert harness.retry(operator())["status"] == "completed"


def test_an_option_that_is_broken_at_a_retry_names_the_generation(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try that fails for the configuration names the generation that an earlier one paid for."""
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    [generation] = emulator.control.state()["generations"]
    monkeypatch.setenv("AIRFLOW__EVOLINK__DEFAULT_TIMEOUT", "inf")

    with pytest.raises(EvoLinkFailException, match=rf"`\[evolink\] default_timeout`=.*{generation['id']}"):
        harness.retry(operator())
    monkeypatch.delenv("AIRFLOW__EVOLINK__DEFAULT_TIMEOUT")
    emulator.control.advance(1000)
    assert harness.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


def test_no_execution_timeout_is_none(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """An ``execution_timeout`` of zero is no limit, as in Airflow, rather than a deadline that has passed."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(execution_timeout=timedelta(0), timeout=600).execute(harness.context)

    watch = deferred.value.trigger.watch
    assert watch.deadline - watch.submitted_at == 600


def test_inside_another_task_it_waits_on_the_worker(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """Executed by hand in a ``@task``, which can't resume it, an operator does not defer, and logs why."""
    record = operator().execute({**harness.context, "task": BaseOperator(task_id="outer")})

    assert record["status"] == "completed"
    assert "outer" in capsys.readouterr().out


@pytest.mark.parametrize("is_copy", [True, False])
def test_the_task_itself_defers(emulator: EmulatorHandle, harness: TaskHarness, is_copy: bool) -> None:
    """The running task is the operator, or the copy of it that Airflow has prepared."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute({**harness.context, "task": task.prepare_for_execution() if is_copy else task})


def test_cancelled_at_evolink(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A cancelled generation is a failure, which a retry submits again."""
    emulator.control.inject("generation_cancelled")

    with pytest.raises(GenerationCancelledError):
        harness.run(operator())
    assert harness.retry(operator())["status"] == "completed"


def test_an_unknown_status_is_waited_on(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A status that EvoLink does not document does not end the wait."""
    emulator.control.inject("unknown_status", status="undocumented")

    assert harness.run(operator())["status"] == "completed"


def test_log_lines_only_on_change(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many polls, few lines: each change of status, and progress in steps of about 20 %."""
    emulator.control.set_speed(12)

    harness.run(operator())

    lines = [line for line in capsys.readouterr().out.splitlines() if "%." in line]
    reads = emulator.control.state()["requests"]["read"]
    assert reads >= 5
    assert 2 <= len(lines) <= 6
    assert len(lines) < reads


@pytest.mark.parametrize("event", [["terminal"], "terminal", 7, {"outcome": ["terminal"], "generation_id": 5}])
def test_after_an_invalid_event_the_generation_is_read(
    emulator: EmulatorHandle, harness: TaskHarness, event: Any
) -> None:
    """Whatever Airflow's database holds instead of the event, the worker returns the result."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)

    assert task.execute_complete(harness.context, event)["status"] == "completed"
