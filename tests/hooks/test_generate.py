# SPDX-License-Identifier: Apache-2.0
"""``EvoLinkHook.generate`` in a task: paid for once under each key, whatever goes wrong."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout

from airflow_provider_evolink.api.errors import (
    ConnectionNotFoundError,
    GenerationFailedError,
    GenerationNotFoundError,
    GenerationTimeoutError,
    InsufficientCreditsError,
    InvalidInputError,
    NotSentError,
    ResultMissingError,
    StaleRequestError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution.pending import PendingGeneration
from airflow_provider_evolink.execution.reports import name_call_outside_task, read_refused
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.polling.confirmed_read import Refused
from airflow_provider_evolink.result import Origin
from airflow_provider_evolink.types import GenerationRecord
from tests.hooks.calls import HARBOR, LIGHTHOUSE, MODEL, PythonTask
from tests.operators.submissions import DyingStore, WorkerDied, accepted, operator
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("each_ledger", "no_pauses", "quick")


@pytest.fixture(autouse=True)
def _no_submission_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)


def cover(parameters: dict[str, Any] = LIGHTHOUSE, **options: Any) -> GenerationRecord:
    """Generate a video under the key ``cover``."""
    return EvoLinkHook().generate(MODEL, parameters, key="cover", poll_interval=0.1, **options)


def test_the_record_is_the_operators(emulator: EmulatorHandle, task: PythonTask) -> None:
    """It has the fields, types and price of the record that an operator returns for the same request."""
    of_operator = TaskHarness().run(operator(deferrable=False))

    record = task.call(cover)

    assert {name: type(value) for name, value in record.items()} == {
        name: type(value) for name, value in of_operator.items()
    }
    assert record["usage"] == of_operator["usage"]
    assert record["status"] == "completed"
    assert (record["reattached"], record["try_number"]) == (False, 1)


def test_a_retry_resumes_what_is_paid_for(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The next try returns the same result, without a submission."""
    first = task.call(cover)

    second = task.call_again(cover)

    assert second == {**first, "reattached": True, "try_number": 2}
    assert emulator.control.state()["requests"]["submit"] == 1


def test_two_keys_are_two_generations(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The same request under two keys is made twice, and each is resumed by its own key."""

    def both() -> list[str]:
        hook = EvoLinkHook()
        records = [hook.generate(MODEL, LIGHTHOUSE, key=key, poll_interval=0.1) for key in ("a", "b")]
        return [record["generation_id"] for record in records]

    ids = task.call(both)

    assert task.call_again(both) == ids
    assert len(set(ids)) == emulator.control.state()["requests"]["submit"] == 2


def test_an_operator_in_the_same_task_has_its_own(emulator: EmulatorHandle, task: PythonTask) -> None:
    """An operator that the task executes by hand is not taken for a call, whatever the key."""

    def all_three() -> set[str]:
        by_hand = operator().execute(task.context)
        records = [EvoLinkHook().generate(MODEL, LIGHTHOUSE, key=key, poll_interval=0.1) for key in ("task-1", "2")]
        return {record["generation_id"] for record in (by_hand, *records)}

    assert task.call(all_three) == task.call_again(all_three)
    assert len(accepted(emulator)) == 3


def test_another_request_under_the_key_is_refused(emulator: EmulatorHandle, task: PythonTask) -> None:
    """It names what was paid for and sends nothing, unless the caller wants to pay again."""
    paid = task.call(cover)

    with pytest.raises(StaleRequestError, match=r"30\.7 credits") as caught:
        task.call_again(lambda: cover(HARBOR))
    assert caught.value.generation_id == paid["generation_id"]
    assert len(accepted(emulator)) == 1

    new = task.call_again(lambda: cover(HARBOR, on_changed_input="resubmit"))
    assert new["generation_id"] != paid["generation_id"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_that_dies_around_any_write_pays_once(
    emulator: EmulatorHandle, task: PythonTask, write: int, after: bool
) -> None:
    """Whether at the intent, the id or the end: the next try returns the result, and one generation was made."""
    task.store = DyingStore(write, after=after)
    with pytest.raises(WorkerDied):
        task.call(cover)

    record = task.call_again(cover)

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_lost_responses_are_resolved_by_a_retry(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The next try sends the same request under the same idempotency key: one generation, one charge."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError, match="idempotency key"):
        task.call(cover)

    record = task.call_again(cover)

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert record["replay"] == "confirmed"


def test_a_clear_that_empties_the_store_returns_the_same_result(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The ledger's copy survives what Airflow 3.4 does to a cleared task."""
    first = task.call(cover)
    task.store.held.clear()
    task.ti.max_tries = 1

    assert task.call_again(cover)["generation_id"] == first["generation_id"]
    assert task.call_again(lambda: cover(on_clear="resubmit"))["generation_id"] == first["generation_id"]
    task.ti.max_tries = 5
    assert task.call_again(lambda: cover(on_clear="resubmit"))["generation_id"] != first["generation_id"]


def test_a_missed_deadline_is_resumed(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The error names the generation, and a later try returns it."""
    emulator.control.set_speed(0.1)
    with pytest.raises(GenerationTimeoutError) as caught:
        task.call(lambda: cover(timeout=1))

    emulator.control.advance(1000)
    assert task.call_again(lambda: cover(timeout=1))["generation_id"] == caught.value.generation_id


def test_a_failed_generation_is_submitted_again(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A failure that a new submission may fix is retried, and only then."""
    emulator.control.inject("generation_failed", on="submit", code="service_error")
    with pytest.raises(GenerationFailedError):
        task.call(cover)

    assert task.call_again(cover)["status"] == "completed"
    assert len(accepted(emulator)) == 2


def test_a_rejection_is_the_hooks_own_error(emulator: EmulatorHandle, task: PythonTask) -> None:
    """It is typed, and a later try submits."""
    emulator.control.inject("http_error", on="submit", status=402)
    with pytest.raises(InsufficientCreditsError):
        task.call(cover)

    assert task.call_again(cover)["status"] == "completed"


@pytest.mark.parametrize("key", ["", "a b", "a.2", "a:b", "a/b", "é", "x" * 101, None, 7])
def test_a_key_is_checked_before_anything_is_sent(emulator: EmulatorHandle, task: PythonTask, key: Any) -> None:
    """A key that is none is refused with what is allowed."""
    with pytest.raises(InvalidInputError, match=r"`key`=.* must be 1 to 100 characters"):
        task.call(lambda: EvoLinkHook().generate(MODEL, LIGHTHOUSE, key=key))

    assert emulator.control.state()["requests"]["submit"] == 0


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("timeout", {"timeout": -1}),
        ("poll_interval", {"poll_interval": 0}),
        ("on_clear", {"on_clear": "whatever"}),
        ("on_changed_input", {"on_changed_input": None}),
        ("duration", {}),
    ],
)
def test_invalid_arguments_cost_nothing(
    emulator: EmulatorHandle, task: PythonTask, parameter: str, options: dict[str, Any]
) -> None:
    """Everything that is wrong is refused before the payment, by name."""
    parameters = {**LIGHTHOUSE, "duration": 300} if parameter == "duration" else LIGHTHOUSE

    with pytest.raises(InvalidInputError, match=f"`{parameter}`="):
        task.call(lambda: EvoLinkHook().generate(MODEL, parameters, key="cover", **options))

    assert emulator.control.state()["requests"]["submit"] == 0


def test_many_at_the_same_time(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Awaited together, generations are made together and read together; a retry resumes them all."""

    async def all_of_them() -> list[str]:
        hook = EvoLinkHook()
        calls = (hook.generate_async(MODEL, LIGHTHOUSE, key=f"scene-{n}", poll_interval=0.1) for n in range(6))
        return [record["generation_id"] for record in await asyncio.gather(*calls)]

    ids = task.call(lambda: asyncio.run(all_of_them()))

    assert task.call_again(lambda: asyncio.run(all_of_them())) == ids
    assert len(set(ids)) == len(accepted(emulator)) == 6
    assert emulator.control.state()["requests"]["batch"] > 0


def test_an_event_loop_is_not_blocked(emulator: EmulatorHandle, task: PythonTask) -> None:
    """While a generation is awaited, the event loop goes on."""

    async def generate_and_count() -> int:
        call = asyncio.ensure_future(EvoLinkHook().generate_async(MODEL, LIGHTHOUSE, key="cover", poll_interval=0.1))
        ticks = 0
        while not call.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert (await call)["status"] == "completed"
        return ticks

    assert task.call(lambda: asyncio.run(generate_and_count())) > 5


def test_the_blocking_form_works_in_an_event_loop(emulator: EmulatorHandle, task: PythonTask) -> None:
    """It blocks the loop, and returns the record nevertheless."""

    async def generate() -> GenerationRecord:
        return cover()

    assert task.call(lambda: asyncio.run(generate()))["status"] == "completed"


def test_a_key_is_used_once_at_a_time(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Of two calls at the same time with the same key, one is refused before it is sent."""

    async def twice() -> list[Any]:
        hook = EvoLinkHook()
        calls = (hook.generate_async(MODEL, LIGHTHOUSE, key="cover", poll_interval=0.1) for _ in range(2))
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = task.call(lambda: asyncio.run(twice()))

    [refusal] = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(refusal, InvalidInputError)
    assert "`key`='cover'" in str(refusal)
    assert len(accepted(emulator)) == 1


def test_a_kill_reports_what_stays_paid_for(
    emulator: EmulatorHandle, task: PythonTask, capsys: pytest.CaptureFixture[str]
) -> None:
    """When Airflow kills the task, the log has the id and how to collect the generation."""
    emulator.control.set_speed(0.1)

    def kill() -> None:
        task.task.on_kill()  # which the call has replaced by then

    threading.Timer(1.0, kill).start()
    with pytest.raises(GenerationTimeoutError):
        task.call(lambda: cover(timeout=2))

    [generation] = accepted(emulator)
    assert any("Killed." in line and generation["id"] in line for line in capsys.readouterr().out.splitlines())


def test_a_task_that_was_killed_sends_nothing(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A call that begins after the kill is refused."""

    def killed() -> None:
        cover()
        task.task.on_kill()
        EvoLinkHook().generate(MODEL, LIGHTHOUSE, key="another")

    with pytest.raises(NotSentError, match="killed"):
        task.call(killed)
    assert len(accepted(emulator)) == 1


def test_a_cancelled_call_is_resumed(
    emulator: EmulatorHandle, task: PythonTask, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cancelled, as by a timeout of the caller's own, it says what stays paid for; the next try returns it."""
    emulator.control.set_speed(0.1)

    async def impatient() -> None:
        async with asyncio.timeout(1.5):
            await EvoLinkHook().generate_async(MODEL, LIGHTHOUSE, key="cover")

    with pytest.raises(TimeoutError):
        task.call(lambda: asyncio.run(impatient()))

    [generation] = accepted(emulator)
    assert any(generation["id"] in line for line in capsys.readouterr().out.splitlines())
    emulator.control.advance(1000)
    assert task.call_again(cover)["generation_id"] == generation["id"]


def test_outside_of_a_task_nothing_is_remembered(emulator: EmulatorHandle, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning says so, and the id is in the log before the wait; the record is the same."""
    record = cover()

    lines = capsys.readouterr().out.splitlines()
    [warning] = [line for line in lines if "nothing remembers" in line]
    assert "pays again" in warning
    submitted = next(n for n, line in enumerate(lines) if ": submitted" in line)
    assert record["generation_id"] in lines[submitted]
    assert submitted < next(n for n, line in enumerate(lines) if " is completed" in line)
    assert cover()["generation_id"] != record["generation_id"]


def test_outside_of_a_task_an_error_promises_no_retry(emulator: EmulatorHandle) -> None:
    """The error of a missed deadline says that nothing resumes it, and how to collect the generation; so it does."""
    emulator.control.set_speed(0.1)
    with pytest.raises(GenerationTimeoutError, match="outside of a task") as caught:
        cover(timeout=1)

    assert f'wait("{caught.value.generation_id}")' in str(caught.value)
    assert "A retry" not in str(caught.value)
    emulator.control.advance(1000)
    assert EvoLinkHook().wait(str(caught.value.generation_id))["status"] == "completed"


def test_outside_of_a_task_a_missing_result_promises_no_retry(emulator: EmulatorHandle) -> None:
    """The error says how to read the generation again, and leaves out what only a task has."""
    emulator.control.inject("no_results")
    with pytest.raises(ResultMissingError, match="outside of a task") as caught:
        cover()

    [generation] = accepted(emulator)
    assert f'wait("{generation["id"]}")' in str(caught.value)
    assert not re.search("A retry|clear of this task", str(caught.value))


@pytest.mark.parametrize("may_submit", [True, False])
def test_outside_of_a_task_a_refused_read_promises_no_clear(may_submit: bool) -> None:
    """The error of a generation that EvoLink refuses to return keeps the reason, and says how to collect it."""
    denial = GenerationNotFoundError("EvoLink knows no such generation.", status=404, generation_id="task-unified-1")
    pending = PendingGeneration("task-unified-1", Origin(submitted_at=0.0))
    error = read_refused(Refused(denial, 3, 120.0), pending, may_submit=may_submit)
    assert "clear of this task" in str(error)
    name_call_outside_task(error, "evolink_default")

    assert str(error).startswith("EvoLink knows no such generation. It was read 3 times")
    assert 'wait("task-unified-1")' in str(error)
    assert "clear of this task" not in str(error)


def test_outside_of_a_task_an_interrupted_call_promises_no_retry(
    emulator: EmulatorHandle, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says that a repeated call would pay again, and how to collect the generation; so it does."""
    emulator.control.set_speed(0.1)

    async def impatient() -> None:
        async with asyncio.timeout(1.5):
            await EvoLinkHook().generate_async(MODEL, LIGHTHOUSE, key="cover")

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())

    [generation] = accepted(emulator)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "Interrupted" in line]
    assert "pays again" in line
    assert f'wait("{generation["id"]}")' in line
    assert "clear of this task" not in line


@pytest.mark.parametrize("parameters", [["A lighthouse"], None, "A lighthouse"])
def test_parameters_are_a_mapping(emulator: EmulatorHandle, parameters: Any) -> None:
    """Anything else is refused before anything is sent."""
    with pytest.raises(InvalidInputError, match=r"^`parameters`=.* is invalid: must be a mapping"):
        cover(parameters)
    assert accepted(emulator) == []


def test_outside_of_a_task_a_lost_response_is_left_to_the_caller(emulator: EmulatorHandle) -> None:
    """The error has the idempotency key, and says that a repeated call would pay again."""
    emulator.control.inject("lost_response", on="submit", times=2)

    with pytest.raises(SubmissionUnknownError, match=r"idempotency key airflow-.*outside of a task.*pays again"):
        cover()


def test_outside_of_a_task_a_failed_generation_is_just_that(emulator: EmulatorHandle) -> None:
    """There is nothing to collect, and so nothing is logged about it."""
    emulator.control.inject("generation_failed", on="submit", code="service_error")

    with pytest.raises(GenerationFailedError) as caught:
        cover()
    assert "outside of a task" not in str(caught.value)


@pytest.mark.parametrize("in_block", [True, False])
def test_a_dag_file_that_is_parsed_pays_nothing(emulator: EmulatorHandle, tmp_path: Path, in_block: bool) -> None:
    """A call at the top level of a DAG file, or in the DAG's block, is refused, since it would pay at each parse."""
    from tests.loaded_dag import DagBag

    call = f'EvoLinkHook().generate("{MODEL}", {LIGHTHOUSE}, key="cover")'
    block = f'with DAG("parsed"):\n    {call}\n' if in_block else f"{call}\n"
    imports = "from airflow.sdk import DAG\nfrom airflow_provider_evolink.hooks.evolink import EvoLinkHook\n"
    (tmp_path / "parsed.py").write_text(f"{imports}{block}")

    [error] = DagBag(str(tmp_path)).import_errors.values()

    assert "Call it in a task" in error
    assert accepted(emulator) == []


def test_an_execution_timeout_reports_what_stays_paid_for(
    emulator: EmulatorHandle, task: PythonTask, capsys: pytest.CaptureFixture[str]
) -> None:
    """Airflow's own time limit interrupts the wait, and the log has the id and how to collect the generation."""
    emulator.control.set_speed(0.1)

    def limited() -> None:
        with timeout(2):
            cover()

    started = time.monotonic()
    with pytest.raises(AirflowTaskTimeout):
        task.call(limited)

    [generation] = accepted(emulator)
    assert any("Killed." in line and generation["id"] in line for line in capsys.readouterr().out.splitlines())
    assert time.monotonic() - started < 10
    emulator.control.advance(1000)
    assert task.call_again(cover)["generation_id"] == generation["id"]


def test_a_missing_connection_costs_nothing(monkeypatch: pytest.MonkeyPatch, task: PythonTask) -> None:
    """Without a connection nothing is sent, and the error names it and says how to define it."""
    with pytest.raises(ConnectionNotFoundError, match=r"'evolink_default'.*airflow connections add evolink_default"):
        task.call(cover)
