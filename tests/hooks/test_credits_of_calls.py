# SPDX-License-Identifier: Apache-2.0
"""``min_credits_left`` of calls that run at the same time: together they stop where they would one after another."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    AccessDeniedError,
    CreditsBelowMinimumError,
    InvalidInputError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution import credits_check
from airflow_provider_evolink.execution.credits_check import credits_left
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from tests.batch.batches import batch, rows, run
from tests.hooks.calls import LIGHTHOUSE, MODEL, PythonTask
from tests.operators.submissions import accepted, operator
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("no_pauses", "quick", "new_process")

# Of LIGHTHOUSE.
PRICE = 30.7


def left(emulator: EmulatorHandle) -> float:
    """Return the credits that are left."""
    return float(emulator.control.state()["credits"]["balance"])


def together(task: PythonTask, count: int, minimum: float | None, parameters: Any = lambda _: LIGHTHOUSE) -> list[Any]:
    """Await calls at the same time, each under a key of its own; return their records and errors."""

    async def all_of_them() -> list[Any]:
        hook = EvoLinkHook()
        calls = (
            hook.generate_async(MODEL, parameters(n), key=f"scene-{n}", poll_interval=0.1, min_credits_left=minimum)
            for n in range(count)
        )
        return await asyncio.gather(*calls, return_exceptions=True)

    return task.call(lambda: asyncio.run(all_of_them()))


def refusals(outcomes: list[Any]) -> list[CreditsBelowMinimumError]:
    """Return the errors, which all say that too few credits are left."""
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    assert [each for each in errors if not isinstance(each, CreditsBelowMinimumError)] == []
    return errors


def test_calls_at_the_same_time_stop_in_time(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The last one that may begin is the last one that is paid for, although none has a price before the first."""
    before = left(emulator)

    outcomes = together(task, 7, before - 2.5 * PRICE)

    assert len(accepted(emulator)) == 3
    assert len(refusals(outcomes)) == 4
    assert all(error.remaining == pytest.approx(before - 3 * PRICE) for error in refusals(outcomes))
    assert emulator.control.state()["requests"]["credits"] == 1


def test_prices_that_differ(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A request of another price is not taken for the others: the minimum is passed by one at most."""
    minimum = left(emulator) - 3 * PRICE

    outcomes = together(task, 8, minimum, lambda n: {**LIGHTHOUSE, "duration": 3 + n % 4 * 2})

    assert refusals(outcomes)
    dearest = max(each["usage"]["credits_reserved"] for each in outcomes if isinstance(each, dict))
    assert minimum - dearest < left(emulator)


def test_a_rejected_call_gives_its_place_up(emulator: EmulatorHandle, task: PythonTask) -> None:
    """What costs nothing counts no longer: the others go on."""
    emulator.control.inject("http_error", on="submit", status=403)

    outcomes = together(task, 5, left(emulator) - 2.5 * PRICE)

    assert sum(isinstance(each, AccessDeniedError) for each in outcomes) == 1
    assert len(accepted(emulator)) == 3


def test_a_lost_response_keeps_its_place(emulator: EmulatorHandle, task: PythonTask) -> None:
    """What may have been paid for counts with the price of its like."""
    record = task.call(lambda: EvoLinkHook().generate(MODEL, LIGHTHOUSE, key="first", min_credits_left=1))
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        task.call(lambda: EvoLinkHook().generate(MODEL, LIGHTHOUSE, key="lost", min_credits_left=1))
    [reading] = credits_check._readings.values()

    assert reading.reserved_since == pytest.approx(2 * record["usage"]["credits_reserved"])
    assert not +reading.expected.pending


def test_operators_in_threads(emulator: EmulatorHandle) -> None:
    """Operators share what calls share."""
    minimum = left(emulator) - 2.5 * PRICE

    def attempt(_: int) -> str:
        try:
            TaskHarness().run(operator(min_credits_left=minimum, deferrable=False))
        except CreditsBelowMinimumError:
            return "refused"
        return "paid"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda n: copy_context().run(attempt, n), range(6)))

    assert outcomes.count("paid") == len(accepted(emulator)) == 3


def test_a_submission_by_hand_counts(emulator: EmulatorHandle) -> None:
    """What the hook has submitted otherwise is subtracted from the shared reading."""
    hook = EvoLinkHook()
    before = credits_left(hook)
    hook.submit(hook.prepare(MODEL, LIGHTHOUSE), "test-0123456789abcdef")

    assert credits_left(hook) == pytest.approx(before - PRICE)


def test_the_rows_of_a_batch_count(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """What a batch has reserved is subtracted from the reading that other calls of the process share."""
    hook = EvoLinkHook()
    before = credits_left(hook)
    run(TaskHarness(), batch(rows(3), tmp_path))

    assert before - 3.1 * PRICE < credits_left(hook, max_age=600.0) < before - 2.9 * PRICE
    assert emulator.control.state()["requests"]["credits"] == 1


def test_an_invalid_minimum_resumes_what_is_paid_for(
    emulator: EmulatorHandle, task: PythonTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that is none refuses what is new before it is uploaded or sent, and nothing else."""

    def call(key: str, **options: Any) -> Any:
        return EvoLinkHook().generate(MODEL, LIGHTHOUSE, key=key, poll_interval=0.1, **options)

    paid = task.call(lambda: call("cover"))
    monkeypatch.setenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT", "some")

    assert task.call_again(lambda: call("cover"))["generation_id"] == paid["generation_id"]
    assert task.call_again(lambda: call("cover", min_credits_left=-1))["generation_id"] == paid["generation_id"]
    with pytest.raises(InvalidInputError, match=r"`\[evolink\] min_credits_left`='some' is invalid"):
        task.call(lambda: call("another"))
    assert len(accepted(emulator)) == 1
