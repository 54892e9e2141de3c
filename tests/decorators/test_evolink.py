# SPDX-License-Identifier: Apache-2.0
"""``@task.evolink``: the function returns the parameters, and the task pays for them once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, task
from airflow.sdk.execution_time.context import set_current_context

from airflow_provider_evolink.api.errors import InvalidInputError, StaleRequestError
from airflow_provider_evolink.decorators.evolink import _EvoLinkDecoratedOperator, evolink_task
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from tests.operators.landings import LandingHarness, check_landed
from tests.operators.submissions import TEXT, accepted
from tests.task_harness import TaskHarness


class Prompt:
    """A function to decorate, which counts its calls."""

    def __init__(self, *returned: Any) -> None:
        self.returned, self.calls = list(returned), 0

    def __call__(self, subject: str = "A lighthouse") -> Any:
        """Return the next of what was given, or parameters."""
        self.calls += 1
        return self.returned.pop(0) if self.returned else {"prompt": subject, "duration": 3}


def decorated(function: Callable[..., Any], *args: Any, **options: Any) -> _EvoLinkDecoratedOperator:
    """Return the operator of a decorated function."""
    decorate = evolink_task(**{"model": TEXT, "poll_interval": 1, "task_id": "task", **options})
    operator = decorate(function)(*args).operator  # type: ignore[attr-defined]
    assert isinstance(operator, _EvoLinkDecoratedOperator)
    return operator


def of(prompt: Prompt, *args: Any, **options: Any) -> _EvoLinkDecoratedOperator:
    """Return the operator of a function that calls the prompt."""

    def write(subject: str = "A lighthouse") -> Any:
        return prompt(subject)

    return decorated(write, *args, **options)


def test_a_number_of_credits_is_checked_at_parse_time() -> None:
    """Also that of a task which is mapped later, as an operator's is."""
    with pytest.raises(EvoLinkFailException, match="`min_credits_left`=-1 is invalid"):
        evolink_task(model=TEXT, min_credits_left=-1)


def test_a_function_may_pay_itself(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """What it pays for with the hook has a record of its own beside the task's, and a retry resumes both."""
    made: list[str] = []

    def write() -> dict[str, Any]:
        first = EvoLinkHook().generate(TEXT, {"prompt": "A harbor", "duration": 3}, key="cover", poll_interval=1)
        made.append(first["generation_id"])
        return {"prompt": "A lighthouse", "duration": 3}

    for attempt in (harness.run, harness.retry):
        with set_current_context(harness.context):
            made.append(attempt(decorated(write))["generation_id"])

    assert made[:2] == made[2:] == [generation["id"] for generation in accepted(emulator)]


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_task_returns_the_record(emulator: EmulatorHandle, tmp_path: Path, deferrable: bool) -> None:
    """It waits, deferred or not, lands what was made, and the function has run once."""
    prompt, harness = Prompt(), LandingHarness()

    record = harness.run(of(prompt, "A harbor", destination=str(tmp_path), deferrable=deferrable))

    check_landed(record, tmp_path)
    assert [generation["prompt"] for generation in accepted(emulator)] == ["A harbor"]
    assert len(harness.deferrals) == deferrable
    assert prompt.calls == 1


def test_a_resume_does_not_call_the_function(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """After a deferral another process goes on, in which the function is not called."""
    with pytest.raises(TaskDeferred):
        of(Prompt()).execute(harness.context)
    emulator.control.advance(1000)
    prompt = Prompt()

    record = of(prompt).resume_execution("execute_complete", {"event": {"outcome": "terminal"}}, harness.context)

    assert record["status"] == "completed"
    assert prompt.calls == 0


def test_a_retry_calls_it_again_and_resumes(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If it returns the same, the retry resumes what is paid for."""
    prompt = Prompt()
    first = harness.run(of(prompt))

    assert harness.retry(of(prompt))["generation_id"] == first["generation_id"]
    assert prompt.calls == 2
    assert len(accepted(emulator)) == 1


def test_a_retry_with_something_else_is_refused(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """What it returns is the request: a difference is not paid for unasked."""
    first = harness.run(of(Prompt()))

    with pytest.raises(EvoLinkFailException) as caught:
        harness.retry(of(Prompt(), "A harbor"))
    assert isinstance(caught.value.error, StaleRequestError)
    assert caught.value.error.generation_id == first["generation_id"]

    again = harness.retry(of(Prompt(), "A harbor", on_changed_input="resubmit"))
    assert again["generation_id"] != first["generation_id"]


def test_a_function_that_fails_costs_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Its error is the task's, and nothing is sent."""

    def write() -> dict[str, Any]:
        raise LookupError("no such product")

    with pytest.raises(LookupError, match="no such product"):
        harness.run(decorated(write))
    assert accepted(emulator) == []


def test_a_function_whose_source_is_down_resumes_what_is_paid_for(
    emulator: EmulatorHandle, harness: TaskHarness
) -> None:
    """If it can't reach its source in a retry, what an earlier try paid for is resumed all the same."""
    with pytest.raises(TaskDeferred):
        of(Prompt()).execute(harness.context)
    emulator.control.advance(1000)

    def write() -> dict[str, Any]:
        raise ConnectionError("the database is down")

    assert harness.retry(decorated(write))["status"] == "completed"
    assert len(accepted(emulator)) == 1


@pytest.mark.parametrize("returned", [None, "A lighthouse", ["prompt"], 7])
def test_anything_but_a_mapping_is_refused(emulator: EmulatorHandle, harness: TaskHarness, returned: Any) -> None:
    """The error names the function and what it has to return; nothing is sent."""
    with pytest.raises(EvoLinkFailException, match=r"`write\(\)`=.* must be a mapping") as caught:
        harness.run(of(Prompt(returned)))

    assert isinstance(caught.value.error, InvalidInputError)
    assert accepted(emulator) == []


def test_a_generator_is_refused(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A function that yields is none that returns parameters."""

    def write() -> Any:
        yield {"prompt": "A lighthouse"}

    with pytest.raises(EvoLinkFailException, match="must be a mapping"):
        harness.run(decorated(write))


def test_an_invalid_parameter_is_refused(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """What it returns is checked like an operator's parameters."""
    with pytest.raises(EvoLinkFailException, match="`duration`=300"):
        harness.run(of(Prompt({"prompt": "A lighthouse", "duration": 300})))

    assert accepted(emulator) == []


def test_a_coroutine_function(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """It is awaited; Airflow need not run the task in an event loop for that."""

    async def write(subject: str) -> Mapping[str, Any]:
        return {"prompt": subject, "duration": 3}

    operator = decorated(write, "A harbor")

    assert harness.run(operator)["status"] == "completed"
    assert not operator.is_async
    assert [generation["prompt"] for generation in accepted(emulator)] == ["A harbor"]


def test_the_function_gets_the_context(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Like that of any other task, its parameters may be names of the context."""

    def write(subject: str, ti: Any = None, **context: Any) -> dict[str, Any]:
        return {"prompt": f"{subject} {ti.try_number} {context['task_instance'].task_id}", "duration": 3}

    harness.run(decorated(write, "A harbor"))

    assert [generation["prompt"] for generation in accepted(emulator)] == ["A harbor 1 task"]


def test_the_record_stays_whole(emulator: EmulatorHandle) -> None:
    """A return type of dict makes no XCom of each field, whose names would be the parameters'."""

    def write() -> dict[str, Any]:
        return {"prompt": "A lighthouse"}

    assert decorated(write).multiple_outputs is False
    with pytest.raises(TypeError, match="multiple_outputs"):
        decorated(write, multiple_outputs=True)


def test_a_missing_model_is_noticed_when_the_dag_is_parsed() -> None:
    """Without a model the decorator can't be used, with parentheses or without."""
    with pytest.raises(TypeError, match="model"):
        task.evolink(dict)
    with pytest.raises(TypeError, match="model"):
        task.evolink(destination="/videos")


def test_literals_are_checked_when_the_dag_is_parsed() -> None:
    """A destination that can't work is refused at once, also of a task that will be mapped."""
    with pytest.raises(EvoLinkFailException, match="`destination`="):
        evolink_task(model=TEXT, destination="videos")


def test_mapped_and_overridden() -> None:
    """It can be mapped, and the mapped task refers to the asset that keeps the ledger's copies."""

    @task.evolink(model=TEXT, destination="/videos", retries=1)
    def write(subject: str, *, mood: str = "calm") -> dict[str, Any]:
        """Return the parameters."""
        return {"prompt": f"{subject}, {mood}"}

    with DAG("mapped", schedule=None, start_date=datetime(2026, 11, 1)) as dag:  # noqa: DTZ001 - as in a DAG
        write("A lighthouse")
        write.override(task_id="others", retries=4).partial(mood="stormy").expand(subject=["A harbor", "A pier"])

    single, mapped = dag.task_dict["write"], dag.task_dict["others"]
    assert (single.retries, mapped.retries) == (1, 4)
    assert mapped.is_mapped
    assert LEDGER_ASSET in single.inlets
    assert LEDGER_ASSET in mapped.partial_kwargs["inlets"]
    assert single.doc_md == "Return the parameters."
    assert "op_kwargs" in single.template_fields
    assert "destination" in single.template_fields
    assert "parameters" not in single.template_fields
