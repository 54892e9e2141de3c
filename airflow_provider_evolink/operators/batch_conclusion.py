# SPDX-License-Identifier: Apache-2.0
"""End a batch: write its manifest, and report what came of its rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, LandingError
from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.manifest import ManifestWriter, Outcome, Requested
from airflow_provider_evolink.batch.outcome_report import (
    counts_line,
    failure,
    manifest_not_written,
    missing_credits,
    progress_line,
)
from airflow_provider_evolink.batch.rows import BadRow, Row
from airflow_provider_evolink.execution.announcement import Announcement, origin_of, shortened_prompt
from airflow_provider_evolink.execution.cost_line import cost_line
from airflow_provider_evolink.landing.asset_names import asset_key
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.lineage.datasets import Dataset, file
from airflow_provider_evolink.lineage.inputs import inputs_of
from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage
from airflow_provider_evolink.links.evolink import MANIFEST_LINK_KEY
from airflow_provider_evolink.operators.batch_parts import BatchParts
from airflow_provider_evolink.submission.record import LedgerRecord

if TYPE_CHECKING:
    from airflow_provider_evolink.types import BatchSummary

_NOT_SENT = "It was not submitted, and cost nothing."


class BatchConclusion:
    """The end of a batch.

    :param parts: of the batch.
    :param cursor: where the batch is.
    :param announcement: receives the files.
    :param lineage: receives what the batch has read, made and written.
    :param ti: of this try.
    :param log: of the task.
    :ivar manifest_link: URI of the manifest; empty until it is written.
    """

    def __init__(
        self, parts: BatchParts, cursor: Cursor, announcement: Announcement, lineage: RunLineage, ti: Any, log: Any
    ) -> None:
        self._parts = parts
        self._cursor = cursor
        self._announcement = announcement
        self._lineage = lineage
        self._ti = ti
        self._log = log
        self.manifest_link = ""

    def conclude(self) -> BatchSummary:
        """Write the manifest, report what came of the rows, and return the summary.

        :raises EvoLinkError: rows have failed or are unfinished, or the manifest could not be written.
        """
        manifest = self._parts.manifest
        writer = ManifestWriter(self._parts.ledger, self._unsent(), self._requested, self._note)
        progress = progress_line(self._cursor, now=time.time())
        try:
            outcome = writer.write(self._rows(), manifest)
        except LandingError as error:
            tally, stop = self._cursor.tally, self._cursor.stop
            raise manifest_not_written(error, progress, unsent=tally.total - tally.processed, stop=stop) from error
        finally:
            self._log_problems(writer.outcome)
        self._lineage.put_output_first(file(manifest.uri))
        self.manifest_link = manifest.uri
        self._ti.xcom_push(key=MANIFEST_LINK_KEY, value=manifest.uri)
        self._log.info("%s: %s.", counts_line(self._cursor.tally), manifest.uri)
        self._log.info("%s", cost_line(outcome.credits_used, outcome.credits_reserved))
        self._raise_for(outcome, manifest.uri)
        summary = outcome.summary(manifest.uri)
        self._announcement.publish(summary)
        return summary

    def _requested(self, row: Row | BadRow) -> Requested:
        """Return what a row asks for; nothing of one whose request can't be made."""
        if isinstance(row, BadRow):
            return Requested()
        try:
            model, parameters = self._parts.requests.given(row)
        except InvalidInputError:
            return Requested()
        return Requested(model, shortened_prompt(parameters.get("prompt")))

    def _note(self, row: Row | BadRow, entry: RowEntry, status: Status) -> None:
        """Take note of what came of a row."""
        if isinstance(row, BadRow) or entry.record is None:
            return
        self._lineage.add_generation(_facts(entry, entry.record, status))
        if self._lineage.takes_inputs:
            self._lineage.add_inputs(self._inputs(row))
        if status is Status.LANDED:
            self._lineage.add_files(landed.uri for landed in entry.landed)
            if self._announcement.is_awaited:
                self._announce(row, entry, entry.record)

    def _inputs(self, row: Row) -> Sequence[Dataset]:
        try:
            return inputs_of(*self._parts.requests.given(row))
        except InvalidInputError:
            return ()  # it has changed since it was paid for

    def _announce(self, row: Row, entry: RowEntry, record: LedgerRecord) -> None:
        origin = origin_of(model=record.model, credits_used=entry.credits_used, prompt=self._requested(row).prompt)
        pattern = self._parts.asset_name(row)
        for index, landed in sorted(entry.files, key=itemgetter(0)):
            if landed.generation_id == entry.generation_id:
                result = Result(landed.generation_id, index, "", record.model)
                key = None if pattern is None else asset_key(pattern, result, landed.media_type)
                self._announcement.add(landed, origin, key)

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


def _facts(entry: RowEntry, record: LedgerRecord, status: Status) -> GenerationFacts:
    return GenerationFacts(
        entry.generation_id or "", record.model, status, record.credits_reserved, entry.credits_used, entry.seconds
    )
