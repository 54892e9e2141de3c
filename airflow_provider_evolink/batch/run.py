# SPDX-License-Identifier: Apache-2.0
"""One worker's share of a batch: read what has ended, submit up to the window, land what has ended.

A worker then hands over to the triggerer, and the next one goes on from the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_evolink.api.errors import EvoLinkError, LedgerError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.landing import RowLander
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.batch.plan import Planner
from airflow_provider_evolink.batch.reports import Report, ReportContext, after_read, is_ready
from airflow_provider_evolink.batch.statuses import StatusReader
from airflow_provider_evolink.batch.window import Window
from airflow_provider_evolink.landing.partial_failure import MAX_CONSECUTIVE_FAILURES
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.wake_rule import WakeRule
from airflow_provider_evolink.submission.decision import Replay

# Seconds for which a generation that has ended may wait for others: its links live for hours.
_LONGEST_WAIT = 600.0
# After a crash, what has landed for less than this is downloaded again, for as long as its link lives.
RECORD_SECONDS = 10.0


@dataclass
class BatchRun:
    """Carry a batch on, as far as it goes without waiting.

    :param cursor: where the batch is; updated.
    :param window: submits rows.
    :param planner: goes through the ledger at the start of a try; ``None`` = an earlier worker of this try has done so.
    """

    options: BatchOptions
    ledger: BatchLedger
    statuses: StatusReader
    lander: RowLander
    cursor: Cursor
    window: Window
    log: Any
    planner: Planner | None = None
    unreachable_timeout: float = 600.0
    _chunks: dict[int, Chunk] = field(default_factory=dict)
    _reports: dict[str, Report] = field(default_factory=dict)

    async def work(self) -> None:
        """Read, submit and land; afterwards :attr:`under_way` and :attr:`is_finished` say what is left.

        :raises LedgerError: what was paid for could not be read or recorded. A retry reads it again.
        """
        # What earlier tries have paid for comes first: if landing kills the worker, no retry may pay for more.
        lands_first = self.planner is not None
        await self._open()
        try:
            await self._go_on(lands_first=lands_first)
        finally:
            self.lander.close()

    async def _go_on(self, *, lands_first: bool) -> None:
        while True:
            ready = await self._read()
            if lands_first:
                await self._land(ready)
                ready, lands_first = [], False
            self.window.ready = len(ready)
            await self.window.fill(self._chunks)
            await self.statuses.disconnect()
            await self._land(ready)
            await self._add_posters()
            self._chunks = {number: chunk for number, chunk in self._chunks.items() if _is_open(chunk)}
            self.cursor.open_chunks = sorted(self._chunks)
            if self._chunks or self.window.is_over:
                return

    def _stop_if_nothing_lands(self) -> None:
        """Pay for nothing more if what is paid for can't be landed."""
        self.cursor.landing_failures = self.lander.failures_in_a_row
        failure, is_down = self.lander.last_failure, self.lander.failures_in_a_row >= MAX_CONSECUTIVE_FAILURES
        if failure is not None and (is_down or self.lander.refused is not None):
            self.window.stop(failure)

    @property
    def under_way(self) -> list[RowEntry]:
        """The rows whose generation is waited for."""
        return [entry for chunk in self._chunks.values() for entry in chunk.rows.values() if _is_under_way(entry)]

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to wait for or to submit."""
        return not self._chunks and self.window.is_over

    def watches(self) -> list[Watch]:
        """Return how to wait for each generation that is under way."""
        return [self.options.watch(entry.record) for entry in self.under_way if entry.record is not None]

    def wake_rule(self) -> WakeRule:
        """Return when the next worker is worth its start: half of the window, or all if no row is left to submit."""
        count = len(self.under_way)
        at_least = count if self.window.is_done else min((self.options.max_in_flight + 1) // 2, count)
        return WakeRule(max(at_least, 1), _LONGEST_WAIT)

    async def _open(self) -> None:
        """Load the chunks with rows under way."""
        if self.planner is not None:
            for chunk in await self.planner.plan():
                self._chunks[chunk.number] = chunk
            self._reports, self.window.to_send = dict(self.planner.reports), self.planner.to_send
            self.planner = None
        for number in self.cursor.open_chunks:
            stored = None if number in self._chunks else self.ledger.read(number)
            if stored is not None:
                stored.tally = self.cursor.tally
                self._chunks[number] = stored
        self._remember_links()
        if len(self.under_way) != self.cursor.tally.counts[Status.UNDER_WAY]:
            raise LedgerError(
                f"The task's ledger holds {len(self.under_way)} generations under way, but this try has submitted "
                f"{self.cursor.tally.counts[Status.UNDER_WAY]}. Nothing more was sent. A retry works out what is left."
            )

    def _remember_links(self) -> None:
        """Take up the links that earlier workers have uploaded media for, so that none of it is uploaded again."""
        replayed = [decision.record for decision in self.window.to_send.values() if isinstance(decision, Replay)]
        for record in [*(entry.record for entry in self.under_way), *replayed]:
            if record is not None and record.media_links is not None:
                self.window.waves.submitter.uploader.known.put_all(record.media_links, record.media_expire_at or 0.0)

    async def _read(self) -> list[tuple[Chunk, RowEntry, Generation]]:
        """Read what became of the generations, note it, and return the rows that can be landed."""
        ids = [entry.generation_id or "" for entry in self.under_way]
        unread = [generation_id for generation_id in ids if generation_id not in self._reports]
        reports = {**self._reports, **await self.statuses.read(unread)}
        self._reports = {}
        is_unreachable = self._is_unreachable(list(reports.values()))
        ready = []
        for chunk in self._chunks.values():
            ready += [(chunk, entry, report) for entry, report in self._note(chunk, reports, is_unreachable)]
        return ready

    def _note(
        self, chunk: Chunk, reports: dict[str, Report], is_unreachable: bool
    ) -> list[tuple[RowEntry, Generation]]:
        """Note EvoLink's reports in a chunk, and return its rows that can be landed, whose landing stores the chunk."""
        context = self._report_context()
        before, ready = dict(chunk.rows), []
        for entry in filter(_is_under_way, before.values()):
            report = reports[entry.generation_id or ""]
            updated = after_read(entry, report, context)
            if is_unreachable and isinstance(report, EvoLinkError) and _is_under_way(updated):
                updated = replace(updated, problem=self._unreachable(report))
            chunk.put(updated)
            if is_ready(updated, report) and isinstance(report, Generation):
                ready.append((updated, report))
        if not ready and chunk.rows != before:
            self.ledger.write(chunk)
        return ready

    def _report_context(self) -> ReportContext:
        options = self.options
        return ReportContext(options.watch, options.conn_id, options.try_number, options.max_tries, time.time())

    def _is_unreachable(self, reports: Sequence[Report]) -> bool:
        """Return whether no read has succeeded for so long that the try ends."""
        if not reports or not all(isinstance(report, EvoLinkError) for report in reports):
            self.cursor.failing_since = None
            return False
        self.cursor.failing_since = self.cursor.failing_since or time.time()
        return time.time() - self.cursor.failing_since >= self.unreachable_timeout

    def _unreachable(self, error: EvoLinkError) -> Problem:
        problem = Problem.of(error, self.options.try_number, Status.UNFINISHED)
        return replace(problem, text=f"{error.facts} The generation stays paid for; a retry or a clear resumes it.")

    async def _land(self, ready: Sequence[tuple[Chunk, RowEntry, Generation]]) -> None:
        """Land rows, and store each chunk once its last row is done, and now and then before."""
        chunks = {entry.key: chunk for chunk, entry, _ in ready}
        left: dict[int, int] = {}
        for chunk in chunks.values():
            left[chunk.number] = left.get(chunk.number, 0) + 1
        unstored_since: dict[int, float] = {}

        def on_landed(entry: RowEntry) -> None:
            chunk, now = chunks[entry.key], time.monotonic()
            chunk.put(entry)
            left[chunk.number] -= 1
            since = unstored_since.setdefault(chunk.number, now)
            if left[chunk.number] == 0 or now - since >= RECORD_SECONDS:
                self.ledger.write(chunk)
                del unstored_since[chunk.number]

        await self.lander.land_all([(entry, generation) for _, entry, generation in ready], on_landed)
        self._stop_if_nothing_lands()

    async def _add_posters(self) -> None:
        """Note the posters of what has landed, after everything else: nothing that is paid for waits for them."""
        posters = await self.lander.add_posters(self.window.is_killed)
        for chunk in self._chunks.values():
            shown = [entry for entry in chunk.rows.values() if any(file.uri in posters for file in entry.landed)]
            for entry in shown:
                chunk.put(entry.with_posters(posters))
            if shown:
                self._store_posters(chunk)

    def _store_posters(self, chunk: Chunk) -> None:
        try:
            self.ledger.write(chunk)
        except LedgerError as error:
            # Whether this try may go on, the next write that matters finds out.
            self.log.warning("Where posters are could not be recorded: %s", error)


def _is_under_way(entry: RowEntry) -> bool:
    return entry.status is Status.UNDER_WAY and not entry.removed


def _is_open(chunk: Chunk) -> bool:
    return any(map(_is_under_way, chunk.rows.values()))
