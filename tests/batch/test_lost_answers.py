# SPDX-License-Identifier: Apache-2.0
"""Submissions whose response is lost or unusable: each row is charged once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, charges, failure_of, lines_of, submissions
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("each_ledger")

ROWS = rows(12)


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("lost_response", {}),
        ("connection_reset", {}),
        ("server_error", {"status": 502}),
        ("server_error", {"status": 503, "processed": True}),
        ("html_response", {}),
        ("html_response", {"processed": True}),
        ("malformed_json", {}),
    ],
    ids=str,
)
def test_a_third_of_all_responses_is_lost(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, fault: str, options: dict[str, Any]
) -> None:
    """Whatever comes instead of a third of the responses, within a few tries all rows land, each charged once."""
    evolink.control.inject(fault, on="submit", times=None, probability=0.34, **options)
    operator = batch(ROWS, tmp_path, max_in_flight=4)
    attempt = run
    for _ in range(6):
        try:
            summary = attempt(harness, operator)
            break
        except Exception:
            attempt = retry
    assert_all_landed(summary, ROWS, evolink)


def test_a_row_in_doubt_is_sent_again_under_the_same_idempotency_key(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A row that stays in doubt is unfinished, the others land, and a retry finds what it has already paid for."""
    evolink.control.inject("lost_response", on="submit", times=2, after=0)
    operator = batch(ROWS[:1], tmp_path)
    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    assert lines_of(failure)["A0"]["status"] == "unfinished"
    assert "idempotency key" in lines_of(failure)["A0"]["error"]["text"]
    summary = retry(harness, operator)

    assert_all_landed(summary, ROWS[:1], evolink)
    assert submissions(evolink) == 3
    assert manifest(summary)[0]["tries"] == 1


def test_fail_never_sends_a_row_again(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """With ``on_unknown_submission="fail"`` a lost response fails its row only, and no later try sends it again."""
    evolink.control.inject("lost_response", on="submit", after=1)
    operator = batch(ROWS[:3], tmp_path, on_unknown_submission="fail")
    for attempt in (run, retry, clear):
        failure = failure_of(attempt, harness, operator)
        assert [line["status"] for line in lines_of(failure).values()].count("landed") == 2

    assert submissions(evolink) == 3
    assert failure.permanent


def test_429_slows_all_rows_and_fails_none(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Rows that EvoLink turns away for a while are sent again after ``Retry-After``, as often as it takes."""
    evolink.control.inject("rate_limit", on="submit", times=8, after=2, retry_after=0.05)

    summary = run(harness, batch(ROWS, tmp_path))

    assert_all_landed(summary, ROWS, evolink)
    assert {line["tries"] for line in manifest(summary)} == {1}
    assert harness.ti.try_number == 1


def test_an_outage_stops_submitting(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """If EvoLink is down, a wave is enough to notice; what was not sent is left to the retry."""
    evolink.control.inject("server_error", on="submit", times=None, status=503)
    operator = batch(ROWS, tmp_path, max_in_flight=4)
    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    assert submissions(evolink) <= 8
    assert {line["status"] for line in lines_of(failure).values()} == {"unfinished"}
    evolink.control.reset()
    evolink.control.set_speed(2000)
    assert_all_landed(retry(harness, operator), ROWS, evolink)


def test_reads_that_fail_lose_nothing(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Failing polls and batches that are refused change nothing."""
    evolink.control.inject("server_error", on="batch", times=None, probability=0.3)
    evolink.control.inject("batch_unsupported", on="batch", after=3)
    evolink.control.inject("server_error", on="read", times=None, probability=0.3)

    summary = run(harness, batch(ROWS, tmp_path, max_in_flight=5))

    assert_all_landed(summary, ROWS, evolink)
    assert charges(evolink).total() == len(ROWS)
