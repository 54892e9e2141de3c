# SPDX-License-Identifier: Apache-2.0
"""End a batch: write its manifest, and report what came of its rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import EvoLinkError, LandingError
from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, Status
from airflow_provider_evolink.batch.manifest import ManifestWriter, Outcome
from airflow_provider_evolink.batch.outcome_report import failure, manifest_not_written, missing_credits, progress_line
from airflow_provider_evolink.batch.rows import BadRow, Row
from airflow_provider_evolink.operators.batch_announcement import Announcement
from airflow_provider_evolink.operators.batch_parts import BatchParts

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.types import BatchSummary

_NOT_SENT = "It was not submitted, and cost nothing."


class BatchConclusion:
    """The end of a batch.

    :param parts: of the batch.
    :param cursor: where the batch is.
    :param outlets: of the task.
    :param context: of this try.
    :param log: of the task.
    """

    def __init__(self, parts: BatchParts, cursor: Cursor, outlets: Sequence[Any], context: Context, log: Any) -> None:
        self._parts = parts
        self._cursor = cursor
        self._announcement = Announcement(outlets, context, parts.hook)
        self._log = log

    def conclude(self) -> BatchSummary:
        """Write the manifest, report what came of the rows, and return the summary.

        :raises EvoLinkError: rows have failed or are unfinished, or the manifest could not be written.
        """
        manifest = self._parts.manifest
        writer = ManifestWriter(self._parts.ledger, self._unsent(), self._announcement.add)
        progress = progress_line(self._cursor, now=time.time())
        try:
            outcome = writer.write(self._rows(), manifest)
        except LandingError as error:
            raise manifest_not_written(error, progress) from error
        finally:
            self._log_problems(writer.outcome)
        self._announcement.link(manifest.uri)
        self._log.info("%s. The manifest is at %s.", progress, manifest.uri)
        self._raise_for(outcome, manifest.uri)
        summary = outcome.summary(manifest.uri)
        self._announcement.publish(summary)
        return summary

    def _log_problems(self, outcome: Outcome) -> None:
        for key, problem in outcome.problems:
            self._log.warning("Row %r %s: %s", key, problem.status, problem.text)
        if others := outcome.problem_count - len(outcome.problems):
            self._log.warning("and %s.", counted(others, "other row"))

    def _unsent(self) -> Problem:
        """Return why rows without an entry were not sent."""
        problem = Problem(Status.UNFINISHED, _NOT_SENT, None, False, self._parts.options.try_number)
        stop = self._cursor.stop
        return problem if stop is None else replace(problem, code=stop.code, is_permanent=stop.is_permanent)

    def _rows(self) -> Iterator[tuple[Row | BadRow, Problem | None]]:
        """Yield all rows, each with why it has no entry in the ledger, if it can't have one."""
        options, checker = self._parts.options, self._parts.checker()
        status = Status.SKIPPED if options.on_invalid == "skip" else Status.FAILED
        for row in self._parts.table:
            bad = checker.claim(row)
            yield row, None if bad is None else Problem(status, bad.problem, "InvalidInput", True, options.try_number)

    def _raise_for(self, outcome: Outcome, manifest: str) -> None:
        has_failed = outcome.counts[Status.FAILED] > self._parts.options.allowed_failures(outcome.total)
        if has_failed or outcome.counts[Status.UNFINISHED]:
            raise failure(outcome, manifest, self._cursor.stop, missing=self._missing_credits(outcome))

    def _missing_credits(self, outcome: Outcome) -> str:
        """Return a sentence on what the rows that were not submitted will cost, if credits ran out."""
        if not self._cursor.lacks_credits:
            return ""
        try:
            return missing_credits(outcome, self._cursor.tally, self._parts.hook.get_credits())
        except EvoLinkError as error:
            return f"How many are missing is unknown: {error.facts}"
