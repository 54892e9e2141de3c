# SPDX-License-Identifier: Apache-2.0
"""``min_credits_left`` of a batch: it stops submitting in time, whoever spends the credits, and lands what is paid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.batch.errors import BatchFailedError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, clear, retry, rows, run
from tests.batch.outcomes import assert_all_landed, failure_of, lines_of, submissions
from tests.batch.test_spending_limit import PRICE
from tests.task_harness import TaskHarness


def left(emulator: EmulatorHandle) -> float:
    """Return the credits that are left."""
    return float(emulator.control.state()["credits"]["balance"])


def test_a_batch_stops_in_time(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """No row takes the account below the minimum, what is paid for lands, and a retry with more credits goes on."""
    table, minimum = rows(20), left(evolink) - 10.5 * PRICE
    operator = batch(table, tmp_path, min_credits_left=minimum)

    failure = failure_of(run, harness, operator)

    assert isinstance(failure, BatchFailedError)
    assert minimum <= left(evolink) < minimum + PRICE
    assert f"`min_credits_left`={minimum:.10g}, but {left(evolink):.10g} credits are left" in str(failure)
    assert (failure.code, failure.retryable, failure.charged) == ("CreditsBelowMinimum", True, True)
    lines = lines_of(failure)
    landed = sum(line["status"] == "landed" for line in lines.values())
    assert landed == submissions(evolink) == 10
    assert {line["error"]["code"] for line in lines.values() if line["status"] != "landed"} == {"CreditsBelowMinimum"}

    evolink.control.add_credits(20 * PRICE)

    assert_all_landed(retry(harness, operator), table, evolink)


def test_too_few_from_the_start(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """With fewer credits than the minimum nothing is sent at all; a clear reads them again."""
    minimum = left(evolink) + 1

    failure = failure_of(run, harness, batch(rows(3), tmp_path, min_credits_left=minimum))

    assert submissions(evolink) == 0
    assert f"{minimum:.10g}, but {minimum - 1:.10g} credits are left" in str(failure)
    assert (failure.retryable, failure.charged, failure.credits_used) == (True, False, 0.0)
    assert clear(harness, batch(rows(3), tmp_path, min_credits_left=minimum - 1e4))["landed"] == 3


def test_others_may_spend_meanwhile(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another task takes from the account between two waves counts, too."""
    monkeypatch.setattr("airflow_provider_evolink.batch.window._CREDITS_SECONDS", 0.0)
    minimum = left(evolink) - 100 * PRICE
    operator = batch(rows(12), tmp_path, min_credits_left=minimum, max_in_flight=2)
    resume, resumed = operator.resume_execution, list[int]()

    def spend_and_resume(*args: Any) -> Any:
        if not resumed:
            evolink.control.add_credits(minimum - left(evolink) + PRICE / 2)
        resumed.append(1)
        return resume(*args)

    monkeypatch.setattr(operator, "resume_execution", spend_and_resume)
    failure = failure_of(run, harness, operator)

    assert "min_credits_left" in str(failure)
    assert submissions(evolink) < 12
    assert left(evolink) >= minimum


def test_both_limits(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """The tighter of the two limits stops the batch, and is the one that is named."""
    both = batch(rows(8), tmp_path, min_credits_left=left(evolink) - 6.5 * PRICE, max_credits=3.5 * PRICE)

    failure = failure_of(run, harness, both)

    assert "max_credits" in str(failure)
    assert submissions(evolink) == 3


def test_lost_responses_count(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Submissions in doubt take their price from what may be spent, and replays need no credits."""
    minimum = left(evolink) - 10.5 * PRICE
    evolink.control.inject("lost_response", on="submit", times=None, probability=0.4)
    operator = batch(rows(20), tmp_path, min_credits_left=minimum)

    for attempt in (run, retry, retry):
        failure_of(attempt, harness, operator)
        assert left(evolink) >= minimum


def test_a_limit_that_is_set_later(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Rows that were sent without a limit have a price under one: replays take their place, and all rows are made."""
    evolink.control.inject("lost_response", on="submit", times=8)
    table = rows(6)
    failure_of(run, harness, batch(table[:4], tmp_path))

    summary = retry(harness, batch(table, tmp_path, min_credits_left=left(evolink) - 2.5 * PRICE))

    assert_all_landed(summary, table, evolink)


def test_an_unreadable_account(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """If the credits can't be read, nothing is sent, and a retry reads them again."""
    evolink.control.inject("server_error", on="credits", times=4, status=503)
    operator = batch(rows(3), tmp_path, min_credits_left=1)

    failure = failure_of(run, harness, operator)

    assert (submissions(evolink), failure.code, failure.retryable) == (0, "CreditsUnknown", True)
    assert retry(harness, operator)["landed"] == 3


def test_an_invalid_option_lands_what_is_paid_for(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[evolink] min_credits_left that is no number refuses new rows; those that are paid for land."""
    table = rows(4)
    failure_of(run, harness, batch(table, tmp_path, max_credits=2.5 * PRICE))
    for file in tmp_path.glob("*.mp4"):
        file.unlink()
    monkeypatch.setenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT", "some")

    failure = failure_of(retry, harness, batch(table, tmp_path))

    assert "`[evolink] min_credits_left`='some' is invalid" in str(failure)
    assert failure.retryable is False
    assert [line["status"] for line in lines_of(failure).values()].count("landed") == submissions(evolink) == 2
    monkeypatch.delenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT")
    assert_all_landed(retry(harness, batch(table, tmp_path)), table, evolink)


def test_the_configuration_has_a_default(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[evolink] min_credits_left holds for batches too, and an invalid number is refused before anything is sent."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT", "1e9")
    assert "min_credits_left" in str(failure_of(run, harness, batch(rows(2), tmp_path)))
    rendered = batch(rows(2), tmp_path, min_credits_left="{{ few }}")
    rendered.min_credits_left = "few"
    failure = failure_of(run, harness, rendered)

    assert isinstance(failure, InvalidInputError)
    assert (failure.parameter, submissions(evolink)) == ("min_credits_left", 0)
