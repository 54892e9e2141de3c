# SPDX-License-Identifier: Apache-2.0
"""What EvoLink refuses: all rows or one row, before the generation or in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, assert_true, charges, failure_of, lines_of, submissions
from tests.task_harness import FailingStore, TaskHarness

ROWS = rows(6)
# What the emulator reserves for one of them.
PRICE = 30.7


@pytest.mark.parametrize("attempt", [retry, clear])
def test_402_stops_submitting_and_names_the_missing_sum(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, attempt: object
) -> None:
    """What is paid lands, the error names the sum that is missing, and with more credits the rest is generated."""
    evolink.control.reset()
    evolink.control.set_speed(2000)
    evolink.control.add_credits(3.5 * PRICE - 1000)
    operator = batch(ROWS, tmp_path, max_in_flight=2)

    failure = failure_of(run, harness, operator)

    lines = lines_of(failure)
    assert [line["status"] for line in lines.values()] == ["landed"] * 3 + ["unfinished"] * 3
    assert_true(list(lines.values()), evolink)
    assert "3 rows that were not submitted need about" in str(failure)
    assert "are missing" in str(failure)
    sent = submissions(evolink)
    evolink.control.add_credits(1000)
    summary = attempt(harness, operator)  # type: ignore[operator]

    assert_all_landed(summary, ROWS, evolink)
    assert submissions(evolink) == sent + 3


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("max_credits", "wave"), [(None, 2), (1000, 1)])
def test_a_refused_api_key_stops_at_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, status: int, max_credits: float | None, wave: int
) -> None:
    """After 401 or 403 no further wave is sent, nothing is charged, and a clear starts with all rows."""
    evolink.control.inject("http_error", on="submit", times=None, status=status)
    operator = batch(ROWS, tmp_path, max_in_flight=2, max_credits=max_credits)

    failure = failure_of(run, harness, operator)

    assert failure.permanent
    assert str(status) in str(failure)
    assert submissions(evolink) == wave
    assert {line["status"] for line in lines_of(failure).values()} == {"unfinished"}
    evolink.control.reset()
    evolink.control.set_speed(2000)
    assert_all_landed(clear(harness, operator), ROWS, evolink)


def test_a_rejected_row_is_sent_again_only_after_a_clear(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A 400 fails its row; the others land, retries leave it alone, and every clear sends it once more."""
    operator = batch(ROWS[:3], tmp_path)
    evolink.control.inject("http_error", on="submit", times=2, status=400, message="an odd reason")
    evolink.control.inject("rate_limit", on="submit", times=1, retry_after=0)
    expected = 4
    for attempt, sent in ((run, 0), (retry, 0), (clear, 2), (retry, 0)):
        if attempt is clear:
            evolink.control.inject("http_error", on="submit", times=2, status=400, message="an odd reason")
        failure = failure_of(attempt, harness, operator)
        expected += sent
        assert failure.permanent
        assert sorted(line["status"] for line in lines_of(failure).values()) == ["failed", "failed", "landed"]
        assert "an odd reason" in str(failure)
        assert submissions(evolink) == expected
    assert_all_landed(clear(harness, operator), ROWS[:3], evolink)


def test_a_rejected_row_that_was_changed_is_sent_by_a_retry(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """What was never accepted may be changed without asking."""
    evolink.control.inject("http_error", on="submit", status=400)
    failure_of(run, harness, batch(ROWS[:1], tmp_path))

    changed = [{**ROWS[0], "prompt": "Another"}]

    assert_all_landed(retry(harness, batch(changed, tmp_path)), changed, evolink)


def test_a_failed_generation_is_submitted_again_only_if_that_can_help(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A retry replaces a generation that failed for a passing reason, and leaves a blocked one to a clear."""
    evolink.control.inject("generation_failed", on="submit", code="service_error")
    evolink.control.inject("generation_failed", on="submit", code="content_policy_violation")
    operator = batch(ROWS[:4], tmp_path)

    failure = failure_of(run, harness, operator)
    statuses = [line["status"] for line in lines_of(failure).values()]
    assert (failure.permanent, sorted(statuses)) == (False, ["failed", "failed", "landed", "landed"])
    failure = failure_of(retry, harness, operator)

    lines = lines_of(failure).values()
    assert failure.permanent
    assert [line["error"]["code"] for line in lines if line["status"] == "failed"] == ["content_policy_violation"]
    assert sorted(line["tries"] for line in lines) == [1, 1, 1, 2]
    assert submissions(evolink) == 5
    summary = clear(harness, operator)

    assert_all_landed(summary, ROWS[:4], evolink)
    assert sorted(line["tries"] for line in manifest(summary)) == [1, 1, 2, 2]


def test_completed_without_a_result_is_not_generated_again(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A generation that is completed and has no link fails its row; a retry reads it again and pays nothing."""
    evolink.control.inject("no_results", on="submit")
    operator = batch(ROWS[:2], tmp_path)
    for attempt in (run, retry, clear):
        failure = failure_of(attempt, harness, operator)
        assert sorted(line["status"] for line in lines_of(failure).values()) == ["failed", "landed"]
        assert submissions(evolink) == 2

    summary = clear(harness, batch(ROWS[:2], tmp_path, on_clear="resubmit"))

    assert summary["landed"] == 2
    assert charges(evolink).total() == 4


def test_a_row_that_takes_too_long_is_resumed_by_a_retry(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A row that has not ended in time is unfinished, and a retry with more time lands it without paying again."""
    evolink.control.set_speed(0.001)
    failure = failure_of(run, harness, batch(ROWS[:2], tmp_path, timeout=0.3))

    assert not failure.permanent
    assert {line["status"] for line in lines_of(failure).values()} == {"unfinished"}
    evolink.control.set_speed(2000)
    assert_all_landed(retry(harness, batch(ROWS[:2], tmp_path)), ROWS[:2], evolink)
    assert submissions(evolink) == 2


def test_a_generation_that_evolink_has_lost_fails_its_row(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that stays unknown fails its row, is named, and is not paid for again by a retry."""
    for module in ("polling.policy", "submission.remote_state"):
        monkeypatch.setattr(f"airflow_provider_evolink.{module}.NOT_FOUND_GRACE", 0.0)
    monkeypatch.setattr("airflow_provider_evolink.submission.remote_state.CONFIRMATION_SECONDS", 0.2)
    operator = batch(ROWS[:1], tmp_path)
    evolink.control.inject("not_found", on="any", times=None)

    for attempt in (run, retry):
        failure = failure_of(attempt, harness, operator)
        (line,) = lines_of(failure).values()
        assert failure.permanent
        assert (line["status"], line["error"]["code"]) == ("failed", "GenerationLost")
        assert line["generation_id"] in line["error"]["text"]
    assert submissions(evolink) == 1


def test_a_stray_404_loses_nothing(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A single response that a generation is unknown is not believed."""
    evolink.control.inject("not_found", on="any", times=6)

    assert_all_landed(run(harness, batch(ROWS, tmp_path)), ROWS, evolink)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_that_was_superseded_sends_nothing_more(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, write: int
) -> None:
    """Once Airflow refuses its writes it pays for nothing, and leaves what it has paid for to the later try."""
    harness.store = FailingStore(*range(write, 100))
    operator = batch(ROWS, tmp_path, max_in_flight=2)

    failure_of(run, harness, operator)

    assert submissions(evolink) == (0 if write == 1 else 2)
    harness.store.failing = ()
    assert_all_landed(retry(harness, operator), ROWS, evolink)
