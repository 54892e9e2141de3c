"""Waiting, its limits, and its ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_evolink.api.errors import (
    GenerationFailedError,
    GenerationTimeoutError,
    PollingFailedError,
    ResultMissingError,
)
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.api.pacing import Outcome, Stop, Watch
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.conftest import LeapingTime
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


@pytest.mark.parametrize("event", [{"outcome": "final", "status": "completed"}, {"outcome": "refused"}, None])
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("vanished", {}),
        ("html", {}),
        *[("refused", {"status": status}) for status in (400, 401, 402, 403, 404)],
        ("html", {"status": 403}),
    ],
)
def test_a_stray_refusal_is_not_believed(
    emulator: EmulatorHandle,
    stage: Stage,
    leaping: LeapingTime,
    fault: str,
    options: dict[str, Any],
    event: dict[str, Any] | None,
) -> None:
    """Whatever a worker's one read is refused with, whatever the trigger has said, the result is handed on."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.advance(1000)
    emulator.control.inject(fault, on="read", **options)

    assert task.execute_complete(stage.context, event)["status"] == "completed"


@BOTH
def test_strays_at_the_trigger_and_at_the_worker(
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """A generation that is old enough to be known, runs, and is denied once to each of those who ask, is waited for."""
    monkeypatch.setattr("airflow_provider_evolink.api.pacing.NOT_FOUND_GRACE", 0.0)
    emulator.control.run_at(0.1)
    emulator.control.inject("vanished", on="read", times=2)
    task = operator(deferrable=deferrable)
    if not deferrable:
        with pytest.raises(GenerationTimeoutError):
            stage.play(operator(deferrable=False, timeout=4))
        assert emulator.control.state()["requests"]["read"] > 3
        return

    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    with pytest.raises(TaskDeferred):
        task.execute_complete(stage.context, {"outcome": "refused", "detail": "GenerationNotFoundError HTTP 404"})
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "A retry fails until the connection holds a valid API key"),
        (403, "A retry is denied until the key may use this"),
        (404, "A retry finds nothing either"),
    ],
)
def test_refusals_that_agree_end_the_wait(
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime, status: int, words: str
) -> None:
    """Several alike over two minutes are believed; the text says what was tried, what is paid, what a clear does."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.inject("refused", on="read", status=status, times=8)

    with pytest.raises(EvoLinkFailException) as caught:
        task.execute_complete(stage.context, {"outcome": "final", "status": "completed"})

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
    assert ('on_clear="resubmit"' in text) is (status == 404)
    assert emulator.control.state()["requests"]["read"] == 8

    emulator.control.advance(1000)
    assert stage.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


@BOTH
def test_an_outage_at_the_last_look_is_endured(
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime, deferrable: bool
) -> None:
    """Four 503s in a row, when the end was seen already, cost a pause and no try."""
    task = operator(deferrable=deferrable)
    with pytest.raises(TaskDeferred):
        operator().execute(stage.context)
    emulator.control.advance(1000)
    emulator.control.inject("server_error", on="read", times=4, status=503)

    assert task.execute_complete(stage.context, {"outcome": "final"})["status"] == "completed"
    assert leaping.slept


def test_a_longer_outage_frees_the_worker(emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime) -> None:
    """After a minute of 503s the task is deferred again, and only after ten is it a failure."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.inject("server_error", on="read", times=None, status=503)

    def resumed_again_and_again() -> None:
        kwargs: dict[str, Any] = {}
        while True:
            try:
                task.execute_complete(stage.context, {"outcome": "final"}, **kwargs)
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
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime
) -> None:
    """Not deferrable, ten minutes are endured where the task is, and none more."""
    with pytest.raises(TaskDeferred):
        operator().execute(stage.context)
    emulator.control.inject("server_error", on="read", times=None, status=503)

    with pytest.raises(PollingFailedError, match=r"503.*"):
        operator(deferrable=False).execute_complete(stage.context, {"outcome": "final"})
    assert sum(leaping.slept) == pytest.approx(600, abs=10)


def test_an_outage_past_the_deadline_is_endured_too(
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime
) -> None:
    """A video that was finished in time is not lost to an outage at the deadline."""
    task = operator(timeout=1)
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.advance(1000)
    leaping.slept.append(3600)
    emulator.control.inject("server_error", on="read", times=4 * 20, status=503)

    assert task.execute_complete(stage.context, {"outcome": "deadline"})["status"] == "completed"


def test_the_servers_pause_survives_into_the_error(
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime
) -> None:
    """What EvoLink asks for reaches the retry policy, though the error is one of ours."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.inject("rate_limit", on="read", times=None, retry_after=70)

    with pytest.raises(PollingFailedError) as caught:
        task.execute_complete(stage.context, {"outcome": "unreachable"})
    assert caught.value.retry_after == 70


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


def test_a_revoked_key_ends_the_wait(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch, leaping: LeapingTime
) -> None:
    """401 for minutes while waiting ends the task; with the key mended, a clear goes on with the same generation."""
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


def test_links_in_result_data_are_found(emulator: EmulatorHandle, stage: Stage) -> None:
    """A completed generation may have its links in result_data alone."""
    emulator.control.inject("result_data_only")

    record = stage.play(operator())

    assert (record["status"], len(record["results"])) == ("completed", 1)


@BOTH
def test_completed_without_results_is_no_success(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    """What was charged and gave nothing is an error with id and price; retries read again, and nothing is bought."""
    emulator.control.inject("no_results")

    with pytest.raises(ResultMissingError) as caught:
        stage.play(operator(deferrable=deferrable))
    for _ in range(3):
        with pytest.raises(ResultMissingError):
            stage.retry(operator(deferrable=deferrable))

    [made] = emulator.control.state()["generations"]
    for part in (made["id"], "paid for (29.78 credits)", "not generated again", "a retry reads it again", "Sensor("):
        assert part in str(caught.value)
    assert stage.store.get("evolink")["phase"] == "submitted"
    assert "None" not in str(caught.value) + capsys.readouterr().out


def test_links_that_come_later_are_collected(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry takes what an answer lacked before."""
    links: tuple[str, ...] = ("file:///etc/passwd", "videos/0.mp4", "", "https://", "httpfoo://x/y")
    read = EvoLinkHook.get_generation
    monkeypatch.setattr(EvoLinkHook, "get_generation", lambda hook, id_: replace(read(hook, id_), links=links))
    with pytest.raises(ResultMissingError):
        stage.play(operator())

    links = (*links, "https://media.example/0.mp4")
    assert "https://media.example/0.mp4" in stage.retry(operator())["results"]
    assert emulator.control.state()["requests"]["submit"] == 1


def test_a_model_that_makes_no_files_needs_no_links(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id is all that a persona is; its record is a success, and its log says nothing of links."""
    emulator.control.inject("no_results")
    parameters = {"source_task_id": "task-unified-1", "result_id": "1", "name": "Ada", "description": "A voice"}
    task = EvoLinkGenerateOperator(
        task_id="task", model="suno-persona", parameters={"model_params": parameters}, poll_interval=1
    )

    record = stage.play(task)

    assert (record["status"], record["results"]) == ("completed", [])
    assert "links" not in capsys.readouterr().out


@pytest.mark.parametrize(("data", "is_enough"), [({"voice": "v-1"}, True), ({}, False), (None, False)])
def test_data_will_do_for_a_model_that_is_not_known(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch, data: Any, is_enough: bool
) -> None:
    """What a later model makes may be an id; with no data either, nothing was delivered."""
    read = EvoLinkHook.get_generation

    def answered(hook: EvoLinkHook, generation_id: str) -> Generation:
        return replace(read(hook, generation_id), model="of-a-later-day", links=(), result_data=data)

    monkeypatch.setattr(EvoLinkHook, "get_generation", answered)
    if is_enough:
        assert stage.play(operator())["result_data"] == data
    else:
        with pytest.raises(ResultMissingError):
            stage.play(operator())


def test_where_the_triggerer_lacks_the_connection_the_worker_waits(emulator: EmulatorHandle, stage: Stage) -> None:
    """A connection that only workers have, in their environment, costs their slots, and no round after round."""
    emulator.control.run_at(60)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)

    assert task.execute_complete(stage.context, {"outcome": "no_connection"})["status"] == "completed"


def test_the_button_is_empty_while_it_waits(emulator: EmulatorHandle, stage: Stage) -> None:
    """There is a link for the task's page from the start, so that it never shows an earlier try's."""
    stage.ti.xcoms["result_link"] = "https://media.example/of-an-earlier-try.mp4"
    with pytest.raises(TaskDeferred):
        operator().execute(stage.context)

    assert stage.ti.xcoms["result_link"] == ""


@pytest.mark.parametrize("value", ["inf", "nan", "1e14", "0", "-5", "soon"])
@pytest.mark.parametrize("option", ["default_timeout", "patience", "poll_interval"])
@BOTH
def test_options_that_make_no_sense_are_refused_before_paying(
    emulator: EmulatorHandle,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: str,
    deferrable: bool,
) -> None:
    """Airflow's configuration is checked like an argument, by section and name, and nothing is sent."""
    monkeypatch.setenv(f"AIRFLOW__EVOLINK__{option.upper()}", value)

    with pytest.raises(EvoLinkFailException, match=rf"\[evolink\] {option}=.*Nothing was sent"):
        stage.play(operator(deferrable=deferrable, poll_interval=None))
    assert emulator.control.state()["requests"]["total"] == 0


def test_an_option_that_breaks_after_the_payment_says_what_is_paid(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the configuration does not end a wait for good, and its text does not say that nothing was sent."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.advance(1000)
    monkeypatch.setenv("AIRFLOW__EVOLINK__PATIENCE", "nan")

    with pytest.raises(PollingFailedError, match=r"is paid for \(30.7 credits.*\[evolink\] patience") as caught:
        task.execute_complete(stage.context, {"outcome": "final"})
    assert "Nothing was sent" not in str(caught.value)

    monkeypatch.delenv("AIRFLOW__EVOLINK__PATIENCE")
    assert stage.retry(operator())["status"] == "completed"


def test_an_option_that_is_broken_at_a_retry_says_what_is_paid(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try that is refused for the configuration names the generation that an earlier one has paid for."""
    with pytest.raises(TaskDeferred):
        operator().execute(stage.context)
    [made] = emulator.control.state()["generations"]
    monkeypatch.setenv("AIRFLOW__EVOLINK__DEFAULT_TIMEOUT", "inf")

    with pytest.raises(EvoLinkFailException, match=rf"\[evolink\] default_timeout=.*{made['id']}"):
        stage.retry(operator())
    monkeypatch.delenv("AIRFLOW__EVOLINK__DEFAULT_TIMEOUT")
    emulator.control.advance(1000)
    assert stage.clear(operator())["status"] == "completed"
    assert emulator.control.state()["requests"]["submit"] == 1


def test_no_execution_timeout_is_none(emulator: EmulatorHandle, stage: Stage) -> None:
    """An ``execution_timeout`` of zero is none, as it is to Airflow, and not a deadline that has passed."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(execution_timeout=timedelta(0), timeout=600).execute(stage.context)

    watch = deferred.value.trigger.watch
    assert watch.deadline - watch.submitted_at == 600


def test_a_broken_trigger_is_told_as_what_it_is(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends no generation that has time left: the worker waits itself, and the log names the trigger's failure."""
    emulator.control.run_at(60)
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)

    record = task.resume_execution("__fail__", {"error": "Trigger failure"}, stage.context)

    assert record["status"] == "completed"
    said = capsys.readouterr().out
    assert "The trigger has failed (Trigger failure)" in said
    assert "deadline" not in said


def test_inside_another_task_it_waits_on_the_worker(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Executed by hand in a ``@task``, which can't resume it, an operator does not defer."""
    record = operator().execute({**stage.context, "task": BaseOperator(task_id="outer")})

    assert record["status"] == "completed"
    assert "the task outer" in capsys.readouterr().out


@pytest.mark.parametrize("is_copy", [True, False])
def test_the_task_itself_defers(emulator: EmulatorHandle, stage: Stage, is_copy: bool) -> None:
    """The task that runs is the operator, or the copy of it that Airflow has made ready."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute({**stage.context, "task": task.prepare_for_execution() if is_copy else task})


def test_what_goes_on_is_waited_for_without_a_triggerer_too(
    emulator: EmulatorHandle, stage: Stage, leaping: LeapingTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not deferrable, a wait that ended for nothing goes on in the same process, after a pause."""
    stops = [Stop(Outcome.REFUSED, None, "HTTP 404"), Stop(Outcome.FINAL, "completed"), Stop(Outcome.UNREACHABLE)]
    wait_here = EvoLinkGenerateOperator._wait_here

    def played(task: EvoLinkGenerateOperator, watch: Watch) -> Stop:
        if stops:
            return stops.pop()
        emulator.control.advance(1000)
        return wait_here(task, watch)

    monkeypatch.setattr(EvoLinkGenerateOperator, "_wait_here", played)
    emulator.control.run_at(0.1)

    assert stage.play(operator(deferrable=False))["status"] == "completed"
    assert stops == []
    assert leaping.slept == [5.0, 5.0, 5.0]


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
