# SPDX-License-Identifier: Apache-2.0
"""Put into words how far a batch is, and why it failed. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidRowsError, LandingError, StaleRequestError
from airflow_provider_evolink.api.generation import Credits
from airflow_provider_evolink.api.wording import are, counted, have, were
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, Status
from airflow_provider_evolink.batch.errors import BatchFailedError, PermanentBatchFailedError
from airflow_provider_evolink.batch.manifest import Outcome
from airflow_provider_evolink.batch.tally import Tally
from airflow_provider_evolink.submission.reports import refusal_text

# Below, a rate is that of a few rows.
_MIN_SECONDS_FOR_RATE = 30.0
# Why nothing more was submitted, if it was the storage: what LandingError and StorageRefusedError are in a manifest.
_STORAGE_CODES = frozenset({"Landing", "StorageRefused"})


def progress_line(cursor: Cursor, *, now: float) -> str:
    """Return how many rows have got how far, what they cost, how fast they are, and when the last is expected.

    :param now: seconds since the epoch.
    """
    tally = cursor.tally
    cost = f"{tally.used:.10g} credits used, {abs(round(tally.reserved, 6)):.10g} reserved"
    return f"{counts_line(tally)}, {cost}{_rate(cursor, now)}"


def counts_line(tally: Tally) -> str:
    """Return how many rows have got how far."""
    names = {
        Status.UNDER_WAY: "under way",
        Status.SKIPPED: "skipped",
        Status.FAILED: "failed",
        Status.UNFINISHED: "unfinished",
    }
    landed = tally.counts[Status.LANDED]
    parts = [f"{landed:,} of {counted(tally.total, 'row')} {have(landed)} landed"]
    parts += [f"{tally.counts[status]:,} {name}" for status, name in names.items() if tally.counts[status]]
    return ", ".join(parts)


def _rate(cursor: Cursor, now: float) -> str:
    tally = cursor.tally
    landed, elapsed = tally.counts[Status.LANDED] - cursor.landed_before, now - cursor.started_at
    left = tally.total - tally.done
    # What an earlier try has left to be landed says nothing about the rate.
    if landed <= 0 or elapsed < _MIN_SECONDS_FOR_RATE or left <= 0 or cursor.stop is not None:
        return ""
    end = datetime.fromtimestamp(now + left * elapsed / landed, UTC)
    return f"; {60 * landed / elapsed:.3g} per minute, at this rate the last at {end:%Y-%m-%d %H:%M} UTC"


def missing_credits(outcome: Outcome, tally: Tally, left: Credits) -> str:
    """Return how many credits the rows need that were not submitted, as far as the others' prices tell.

    :param tally: credits of the rows that were submitted.
    :param left: of the account and the API key.
    """
    available = left.remaining
    priced = tally.counts[Status.LANDED] + tally.counts[Status.UNDER_WAY]
    if not priced:
        return f"{available:.10g} credits are left."
    price = (tally.used + tally.reserved) / priced
    needed = price * outcome.unsent
    rows = counted(outcome.unsent, "row")
    return (
        f"The {rows} that {were(outcome.unsent)} not submitted need{'s' if outcome.unsent == 1 else ''} about "
        f"{needed:,.10g} credits, at {price:.4g} each like the others; {available:,.10g} are left, so at least "
        f"{max(needed - available, 0):,.10g} are missing."
    )


def nothing_can_land(error: LandingError, paid: int) -> LandingError:
    """Return the error of a destination that can't be written to, before this try has sent anything.

    :param paid: how many rows earlier tries have paid for, or may have.
    """
    stays = f" What was paid for {counted(paid, 'row')} by earlier tries stays paid for." if paid else ""
    advice = error.advice if error.permanent else "A retry tries again."
    return type(error)(f"{error.facts} Nothing was sent by this try.{stays}", advice=advice)


def failure(outcome: Outcome, manifest: str, stop: Problem | None, *, missing: str = "") -> BatchFailedError:
    """Return the error that a batch ends with.

    :param manifest: URI of the manifest.
    :param stop: why nothing more was submitted, if that was so.
    :param missing: a sentence on how many credits are missing.
    """
    is_permanent = outcome.retryable == 0
    error_class = PermanentBatchFailedError if is_permanent else BatchFailedError
    # The cause comes first: an alert, or a list of runs, may show no more than one line.
    lines = [*([f"{stop.text} {missing}".rstrip()] if stop else []), _facts(outcome), *_rows(outcome)]
    if not is_permanent:
        lines.append(f"A retry goes on with {outcome.retryable:,} of them, and pays for nothing that has landed.")
    elif stop is None:
        lines.append("A retry finds the same for all of them and pays for nothing.")
    codes = [*([stop.code] if stop else []), *(problem.code for _, problem in outcome.problems)]
    return error_class(
        "\n".join([*lines, f"Every row is in the manifest, {manifest}."]),
        manifest=manifest,
        code=next(filter(None, codes), None),
    )


def all_keys_changed(submitted: int, total: int) -> StaleRequestError:
    """Report that no row is known by its key, although earlier tries have paid for rows: they may be the same ones.

    :param submitted: rows that the ledger holds a submission of.
    :param total: rows of the table.
    """
    return StaleRequestError(
        f"Earlier tries have submitted {counted(submitted, 'row')}, and none of their keys is in the table now. If "
        f"only the keys have changed, {counted(total, 'row')} would be paid again, so nothing was sent, and a retry "
        "sends nothing. Restore `key` and the keys, or set on_changed_input='resubmit' to generate the rows of this "
        "table; then clear the task."
    )


def name_paid_rows(error: EvoLinkError, submitted: int) -> None:
    """Extend an error of invalid input with what was paid for before it.

    :param submitted: rows that the ledger holds a submission of, one or more.
    """
    refusal, lines = (error.refusal, error.listed) if isinstance(error, InvalidRowsError) else (refusal_text(error), [])
    facts = (
        f"{refusal} Nothing more was sent. {counted(submitted, 'row')} {were(submitted)} submitted before, and what "
        "was paid for them stays paid for: fix that and clear this task, which resumes them and submits none again."
    )
    # What the error itself says about the charge is about this try.
    error.args, error.charged = ("\n".join([facts, *lines]),), None


def _facts(outcome: Outcome) -> str:
    counts = outcome.counts
    failed, unfinished = counts[Status.FAILED], counts[Status.UNFINISHED]
    unsent = f" ({outcome.unsent:,} of them {were(outcome.unsent)} not submitted)" if outcome.unsent else ""
    return (
        f"{failed:,} of {counted(outcome.total, 'row')} {have(failed)} failed and {unfinished:,} {are(unfinished)} "
        f"unfinished{unsent}; {counts[Status.LANDED]:,} landed, {counts[Status.SKIPPED]:,} skipped. "
        f"{outcome.credits_used:.10g} credits were used, {outcome.credits_reserved:.10g} are reserved."
    )


def _rows(outcome: Outcome) -> list[str]:
    rows = [f"Row {key!r} {problem.status}: {problem.text}" for key, problem in outcome.problems]
    others = outcome.problem_count - len(rows)
    return [*rows, f"and {counted(others, 'other')}."] if others else rows


def manifest_not_written(
    error: LandingError, progress: str, *, unsent: int = 0, stop: Problem | None = None
) -> LandingError:
    """Return the error of a batch whose manifest could not be written.

    :param progress: how far the rows are.
    :param unsent: how many rows were not submitted.
    :param stop: why nothing more was submitted, if that was so.
    """
    if not unsent:
        what = "A clear" if error.permanent else "A retry"
        return type(error)(
            f"The rows are done, but not their manifest. {error.facts} {progress}.",
            advice=f"{what} writes it, and neither pays for nor downloads again what has landed.",
        )
    rows = f"{counted(unsent, 'row')} {were(unsent)} not submitted, and cost nothing"
    is_storage = stop is not None and stop.code in _STORAGE_CODES
    why = "The storage can't be used" if is_storage else "The storage can't take the manifest"
    other = "" if stop is None or is_storage else f" {stop.text}"
    retry = "A retry is refused again: fix that, then clear this task, which" if error.permanent else "A retry"
    return type(error)(
        f"{why}. {error.facts} {rows}.{other} {progress}.",
        advice=f"{retry} goes on with what is left and writes the manifest, and pays for nothing twice.",
    )
