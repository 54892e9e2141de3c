"""Waiting, its limits, and its ends."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_evolink.api.errors import GenerationFailedError, GenerationTimeoutError, PollingFailedError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.stage import Stage, first_event

BOTH = pytest.mark.parametrize("deferrable", [True, False])


def operator(**kwargs: Any) -> EvoLinkGenerateOperator:
    """A short text-to-video task."""
    given = {"poll_interval": 1, **kwargs}
    parameters = {"prompt": "A lighthouse", "duration": 3}
    return EvoLinkGenerateOperator(
        task_id="task", model="gemini-omni-flash-text-to-video", parameters=parameters, **given
    )


@BOTH
def test_a_deadline_tells_everything(emulator: EmulatorHandle, stage: Stage, deferrable: bool) -> None:
    """Not finished in time: the error has the id, the price, that it goes on, and how to collect it."""
    emulator.control.run_at(0.1)

    with pytest.raises(GenerationTimeoutError) as caught:
        stage.play(operator(deferrable=deferrable, timeout=2))

    [made] = emulator.control.state()["generations"]
    for part in (made["id"], "30.7 credits", "no way to cancel", "A retry goes on", "EvoLinkGenerationSensor("):
        assert part in str(caught.value)


def test_a_deadline_counts_from_submission_over_all_tries(emulator: EmulatorHandle, stage: Stage) -> None:
    """A later try gets no new time: it looks once, and takes what is there by then."""
    emulator.control.run_at(0.1)
    with pytest.raises(GenerationTimeoutError):
        stage.play(operator(timeout=2))
    with pytest.raises(GenerationTimeoutError):
        stage.retry(operator(timeout=2))
    assert emulator.control.state()["requests"]["submit"] == 1

    emulator.control.advance(1000)
    assert stage.retry(operator(timeout=2))["status"] == "completed"


def test_execution_timeout_bounds_the_deferral(emulator: EmulatorHandle, stage: Stage) -> None:
    """Airflow forgets ``execution_timeout`` while deferred; the earlier of both limits holds."""
    task = operator(timeout=timedelta(hours=1), execution_timeout=timedelta(seconds=50))
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(stage.context)

    watch = deferred.value.trigger.watch
    assert watch.deadline - watch.submitted_at == 50


def test_airflows_own_limit_comes_after_ours(emulator: EmulatorHandle, stage: Stage) -> None:
    """The deferral itself carries a timeout, a minute and a half behind the trigger's own."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(timeout=600).execute(stage.context)

    assert 600 + 80 <= deferred.value.timeout.total_seconds() <= 600 + 90


@pytest.mark.parametrize("end", ["Trigger timeout", "Trigger failure"])
def test_a_deferral_that_timed_out_looks_once_more(emulator: EmulatorHandle, stage: Stage, end: str) -> None:
    """Should every triggerer be dead, or the trigger fail there, the video that is there is still taken."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.advance(1000)

    record = task.resume_execution("__fail__", {"error": end}, stage.context)

    assert record["status"] == "completed"


def test_a_trigger_holds_no_secret(emulator: EmulatorHandle, stage: Stage) -> None:
    """What Airflow keeps in clear text of the trigger and its event: ids and times only."""
    stage.play(operator())

    [deferred] = stage.deferrals
    kept = json.dumps([deferred.trigger.serialize(), deferred.kwargs, stage.events])
    for secret in (emulator.api_key, "lighthouse", "/media/", emulator.url):
        assert secret not in kept


@BOTH
@pytest.mark.parametrize("fault", ["server_error", "html", "reset", "broken_json", "rate_limit", "vanished", "refused"])
def test_failed_questions_are_endured(emulator: EmulatorHandle, stage: Stage, fault: str, deferrable: bool) -> None:
    """A question that fails in passing costs a moment, never the video."""
    emulator.control.inject(fault, on="read", times=2)

    assert stage.play(operator(deferrable=deferrable))["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


def test_one_not_found_after_the_end_is_not_believed(emulator: EmulatorHandle, stage: Stage) -> None:
    """A stray 404 for a generation whose end the trigger has seen does not fail the task: it is waited for again."""
    task = operator()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(stage.context)
    event = asyncio.run(first_event(deferred.value.trigger))
    emulator.control.inject("vanished", on="read")

    with pytest.raises(TaskDeferred) as again:
        task.resume_execution("execute_complete", {"event": event}, stage.context)

    event = asyncio.run(first_event(again.value.trigger))
    assert task.resume_execution("execute_complete", {"event": event}, stage.context)["status"] == "completed"


@pytest.mark.parametrize("deferrable", [True, False])
def test_patience_ends(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """When EvoLink can't be asked for too long, and a worker can't ask either, the task fails; a retry goes on."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__PATIENCE", "2")
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    emulator.control.run_at(0.1)
    emulator.control.inject("html", on="read", times=3 + 4)

    with pytest.raises(PollingFailedError, match="could not be asked about for too long"):
        stage.play(operator(deferrable=deferrable))

    emulator.control.advance(1000)
    assert stage.retry(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize("outcome", ["unreachable", "refused", "final"])
def test_what_a_worker_finds_alive_is_waited_for_again(emulator: EmulatorHandle, stage: Stage, outcome: str) -> None:
    """A trigger that gave up, for a stray 404 or an outage that is over, costs a moment, not the task."""
    emulator.control.run_at(0.1)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)

    with pytest.raises(TaskDeferred):
        task.execute_complete(stage.context, {"outcome": outcome, "status": "processing"})
    emulator.control.advance(1000)
    assert task.execute_complete(stage.context, {"outcome": outcome})["status"] == "completed"


def test_a_revoked_key_ends_the_wait(emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """401 while waiting ends the task; with the key mended, a clear goes on with the same generation."""
    task = operator()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(stage.context)
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection.replace("sk-", "sk-other-"))
    event = asyncio.run(first_event(deferred.value.trigger))
    assert event["outcome"] == "refused"
    with pytest.raises(EvoLinkFailException, match="401"):
        task.resume_execution("execute_complete", {"event": event}, stage.context)

    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection)
    assert stage.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize(("fault", "links"), [("no_results", 0), ("result_data_only", 1)])
def test_completed_without_results(emulator: EmulatorHandle, stage: Stage, fault: str, links: int) -> None:
    """A completed generation without links is a result too, and links in result_data are found."""
    emulator.control.inject(fault)

    record = stage.play(operator())

    assert (record["status"], len(record["results"])) == ("completed", links)


def test_cancelled_at_evolink(emulator: EmulatorHandle, stage: Stage) -> None:
    """A cancelled generation is a failure that a retry may mend."""
    emulator.control.inject("cancelled")

    with pytest.raises(GenerationFailedError, match="was cancelled at EvoLink"):
        stage.play(operator())
    assert stage.retry(operator())["status"] == "completed"


def test_an_unknown_status_is_waited_on(emulator: EmulatorHandle, stage: Stage) -> None:
    """A word EvoLink has not documented does not end the wait."""
    emulator.control.inject("unknown_status", status="dreaming")

    assert stage.play(operator())["status"] == "completed"


def test_log_lines_only_on_change(emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Many questions, few lines: each change of status, and progress in steps of about 20 %."""
    emulator.control.run_at(12)

    stage.play(operator())

    lines = [line for line in capsys.readouterr().out.splitlines() if "%." in line]
    reads = emulator.control.state()["requests"]["read"]
    assert reads >= 5
    assert 2 <= len(lines) <= 6
    assert len(lines) < reads


@pytest.mark.parametrize("event", [["final"], "final", 7, {"outcome": ["final"], "generation_id": 5}])
def test_an_event_of_another_form_is_looked_into(emulator: EmulatorHandle, stage: Stage, event: Any) -> None:
    """Whatever Airflow's database holds in place of the event, the worker looks, and hands on what is there."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.advance(1000)

    assert task.execute_complete(stage.context, event)["status"] == "completed"
