# SPDX-License-Identifier: Apache-2.0
"""What EvoLink's report about a generation makes of its row, and what the task says in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import ConnectionLostError, EvoLinkError, GenerationNotFoundError
from airflow_provider_evolink.api.generation import Generation, parse_generation
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.errors import BudgetExhaustedError
from airflow_provider_evolink.batch.manifest import Outcome
from airflow_provider_evolink.batch.outcome_report import failure, progress_line
from airflow_provider_evolink.batch.reports import ReportContext, after_read, is_ready
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from tests import hostile

ID = hostile.COMPLETED["id"]
RECORD = LedgerRecord(
    Phase.SUBMITTED, "fp", "key", 1, "model", 1000.0, generation_id=ID, submitted_at=1000.0, credits_reserved=30.0
)
ENTRY = RowEntry("A", record=RECORD)


def generation(status: str, **fields: Any) -> Generation:
    """Return EvoLink's report with a status."""
    return parse_generation({**hostile.COMPLETED, "status": status, **fields})


def after(report: Generation | EvoLinkError, *, now: float = 1010.0, entry: RowEntry = ENTRY) -> RowEntry:
    """Return the entry after a read, on a wait of 10,000 seconds."""

    def watch(record: LedgerRecord) -> Watch:
        submitted_at = record.submitted_at or 0.0
        return Watch(record.generation_id or "", submitted_at=submitted_at, deadline=submitted_at + 10_000.0)

    return after_read(entry, report, ReportContext(watch, "evolink_default", 2, 3, now))


def test_a_completed_generation_is_ready() -> None:
    """It is still under way until it has landed, and its cost is known."""
    entry = after(report := generation("completed"))

    assert is_ready(entry, report)
    assert (entry.status, entry.credits_used) == (Status.UNDER_WAY, 102.34)
    assert entry.record == RECORD


@pytest.mark.parametrize("report", [generation("processing"), generation("odd"), ConnectionLostError("lost")])
def test_what_has_not_ended_is_waited_for(report: Generation | EvoLinkError) -> None:
    """Until its deadline; then it is unfinished, and stays recorded as submitted."""
    assert after(report) == ENTRY
    late = after(report, now=11_000.0)

    assert (late.status, late.record) == (Status.UNFINISHED, RECORD)
    assert late.problem is not None
    assert not late.problem.is_permanent
    assert ID in late.problem.text
    assert not is_ready(late, report)


def test_a_failure_that_was_charged_costs_what_was_charged() -> None:
    """Not what had been reserved, even if only ``billing`` says so."""
    billing = {"charge_status": "charged", "charged_credits": 7.5, "reserved_credits": 30}
    entry = after(generation("failed", results=[], result_data=None, usage={}, billing=billing))

    assert (entry.status, entry.credits_used) == (Status.FAILED, 7.5)


@pytest.mark.parametrize(("code", "is_permanent"), [("service_error", False), ("content_policy_violation", True)])
def test_a_failed_generation(code: str, is_permanent: bool) -> None:
    """Its row has failed, with EvoLink's code, and costs nothing unless EvoLink says so."""
    error = {"code": code, "message": "no", "type": "task_error"}
    entry = after(generation("failed", results=[], result_data=None, error=error, usage={}))

    assert entry.record is not None
    assert (entry.record.phase, entry.record.max_tries, entry.credits_used) == (Phase.FAILED, 3, None)
    assert entry.problem is not None
    assert (entry.problem.status, entry.problem.code) == (Status.FAILED, code)
    assert (entry.problem.is_permanent, entry.problem.try_number) == (is_permanent, 2)


def test_a_completed_generation_without_results() -> None:
    """Its row has failed, and its record is kept: a later response may have the link."""
    entry = after(generation("completed", results=[], result_data=None))

    assert (entry.status, entry.record) == (Status.FAILED, RECORD)


def test_an_unknown_generation_is_confirmed_first() -> None:
    """One 404 is not believed; a second one, minutes later, is."""
    gone = GenerationNotFoundError("gone", status=404)
    first = after(gone, now=2000.0)
    assert (first.status, first.record) == (Status.UNDER_WAY, replace(RECORD, missing_since=2000.0))

    second = after(gone, now=7000.0, entry=first)

    assert second.status is Status.FAILED
    assert second.problem is not None
    assert second.problem.is_permanent


def outcome(*problems: Problem, unsent: int = 0) -> Outcome:
    """Return the outcome of a batch with such rows."""
    result = Outcome(Counter({Status.LANDED: 5}), credits_used=12.5)
    for number, problem in enumerate(problems):
        result.add(f"A{number}", problem, problem.status, is_own=True)
    for number in range(unsent):
        problem = Problem(Status.UNFINISHED, "not sent", None, False, 1)
        result.add(f"B{number}", problem, Status.UNFINISHED, is_own=False)
    return result


def test_the_error_names_ten_rows_and_counts_the_others() -> None:
    """It has the counts, the credits, the first ten rows, the number of others, and the manifest."""
    problem = Problem(Status.FAILED, "blocked", "code", True, 1)
    error = failure(outcome(*[problem] * 14), "s3://b/manifest.jsonl", None)

    text = str(error)
    assert error.permanent
    assert text.count("blocked") == 10
    assert "and 4 others" in text
    assert "14 of 19 rows" in text
    assert "12.5 credits" in text
    assert "s3://b/manifest.jsonl" in text
    assert error.manifest == "s3://b/manifest.jsonl"


def test_the_error_says_what_a_retry_does() -> None:
    """It is permanent only if a retry can help no row."""
    blocked = Problem(Status.FAILED, "blocked", "code", True, 1)
    stop = Problem(Status.UNFINISHED, "the account is empty", None, True, 1)

    assert failure(outcome(blocked), "m", None).permanent
    error = failure(
        outcome(blocked, replace(blocked, is_permanent=False), unsent=2), "m", stop, missing="7 are missing."
    )
    assert not error.permanent
    assert "the account is empty 7 are missing." in str(error)
    assert "A retry goes on with 3" in str(error)
    assert "2 of them were not submitted" in str(error)


def test_the_error_begins_with_the_cause() -> None:
    """An alert may show one line: the cause stands there, and what a retry does is stated once."""
    stop = Problem.of(BudgetExhaustedError(10, 9.5), 1, Status.UNFINISHED)

    error = failure(replace(outcome(), unsent=20, retryable=0), "m", stop)

    lines = str(error).splitlines()
    assert lines[0].startswith("`max_credits`=10 leaves no room for the next row")
    assert "of 5 rows have failed" in lines[1]
    assert lines[2:] == ["Every row is in the manifest, m."]
    assert str(error).count("A retry") == 1


def test_progress() -> None:
    """A line has the counts, the credits, and, once a row has landed in this try, the rate and the expected end."""
    cursor = Cursor("", 1000.0, landed_before=10)
    cursor.tally.total = 100
    cursor.tally.counts.update({Status.LANDED: 10, Status.UNDER_WAY: 5, Status.FAILED: 1})
    assert "10 of 100" in progress_line(cursor, now=1060.0)
    assert "per minute" not in progress_line(cursor, now=1060.0)
    cursor.tally.counts[Status.LANDED] = 30

    line = progress_line(cursor, now=1060.0)

    assert "20 per minute" in line
    assert "5 under way" in line
    assert "1 failed" in line
    assert "1970-01-01 00:21 UTC" in line
