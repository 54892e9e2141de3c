# SPDX-License-Identifier: Apache-2.0
"""Submit the rows of a table in waves, until as many are under way as the window takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import EvoLinkError, InsufficientCreditsError, LandingError
from airflow_provider_evolink.batch.budget import Admission, Budget
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.errors import file_exists
from airflow_provider_evolink.batch.existing_files import ExistingFile, ExistingFiles
from airflow_provider_evolink.batch.expected_prices import price_class
from airflow_provider_evolink.batch.ledger import Chunk
from airflow_provider_evolink.batch.names import row_pattern
from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.batch.rows import BadRow, Row, RowTable
from airflow_provider_evolink.batch.validation import Checker
from airflow_provider_evolink.batch.wave import Job
from airflow_provider_evolink.batch.wave_builder import WaveBuilder
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.submission.decision import Replay, Submit
from airflow_provider_evolink.submission.record import Phase
from airflow_provider_evolink.submission.reports import request_changed_meanwhile
from airflow_provider_evolink.submission.send_outcome import new_intent

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest

_UNREADABLE = "UnreadableInput"
# For how long a reading of the credits that are left is believed.
_CREDITS_SECONDS = 10.0


@dataclass
class Window:
    """Submit rows in the order of the table, as far as the window, the budget and the account allow.

    :param credits_left: returns how many credits are left, read at most a few seconds ago; may block.
    :param waves: collects the rows that are submitted together.
    :param to_send: what is to be submitted or sent again for rows that the ledger has, by key.
    :param ready: rows that have ended and are about to be landed: they no longer count as under way.
    """

    options: BatchOptions
    table: RowTable
    checker: Checker
    waves: WaveBuilder
    budget: Budget
    existing: ExistingFiles
    cursor: Cursor
    is_killed: Callable[[], bool]
    credits_left: Callable[[], float]
    log: Any
    to_send: dict[str, Submit | Replay] = field(default_factory=dict)
    ready: int = 0
    _next_credits_read: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether no row will be submitted any more in this try."""
        return self.cursor.stop is not None or self.cursor.position >= self.cursor.tally.total

    @property
    def is_over(self) -> bool:
        """Whether no row will be submitted any more by this worker."""
        return self.is_done or self.is_killed()

    async def fill(self, chunks: dict[int, Chunk]) -> None:
        """Submit rows until the window is full.

        :param chunks: those with rows under way; new ones are added.
        """
        self.waves.chunks = chunks
        try:
            if not self.is_done:
                await self._fill()
        except (ConnectionError, TimeoutError) as error:
            # The table can't be read at the moment; what is paid for lands all the same.
            await self.waves.submit()
            self.stop(EvoLinkError(str(error)))

    async def _fill(self) -> None:
        await self._send_again()
        rows = iter(self.table)
        for row in islice(rows, self.cursor.position):
            self.checker.claim(row)
        for row in rows:
            if not await self._has_room() or not await self._take(row):
                break
            self.cursor.position += 1
        await self.waves.submit()
        self._stop_if_blocked()

    async def _send_again(self) -> None:
        """Resolve what is in doubt first: until then, nobody knows how much of the budget it takes."""
        if not any(isinstance(decision, Replay) for decision in self.to_send.values()):
            return
        for row in self.table:
            is_bad = self.checker.claim(row) is not None
            if is_bad or not isinstance(self.to_send.get(row.key or ""), Replay):
                continue
            if not await self._has_room() or not await self._take(row):
                break
        await self.waves.submit()

    async def _has_room(self) -> bool:
        """Return whether a row may be submitted, which may take the end of the current wave."""
        if self._room() <= 0:
            await self.waves.submit()
        self._stop_if_needed()
        return self.cursor.stop is None and not self.is_killed() and self._room() > 0

    def _room(self) -> int:
        under_way = self.cursor.tally.counts[Status.UNDER_WAY] - self.ready
        return self.options.max_in_flight - under_way - self.waves.size

    def _stop_if_needed(self) -> None:
        tally = self.cursor.tally
        if self.waves.submitter.stopped_by is not None:
            self.stop(self.waves.submitter.stopped_by)
        has_failed = tally.counts[Status.FAILED] > self.options.allowed_failures(tally.total)
        if self.cursor.stop is None and has_failed and self.options.on_row_failure == "stop":
            self.cursor.stop = Problem(
                Status.UNFINISHED, "Nothing more was submitted, because of on_row_failure='stop'.", None, True, 0
            )

    def stop(self, error: EvoLinkError) -> None:
        """Submit nothing more in this try."""
        if self.cursor.stop is not None:
            return
        self.cursor.stop = Problem.of(error, self._try_number, Status.UNFINISHED)
        self.cursor.lacks_credits = isinstance(error, InsufficientCreditsError)
        self.log.warning("No more rows are submitted in this try: %s", error)

    def _stop_if_blocked(self) -> None:
        """End the try if the budget has no room and nothing is under way whose settlement could make some."""
        self._stop_if_needed()
        is_waiting = self.cursor.tally.counts[Status.UNDER_WAY] > 0
        if not self.is_done and not is_waiting and not self.is_killed():
            self.stop(self.budget.no_room(self._committed))

    @property
    def _try_number(self) -> int:
        return self.options.try_number

    @property
    def _committed(self) -> float:
        return self.cursor.tally.used + self.cursor.tally.reserved

    async def _take(self, row: Row | BadRow) -> bool:
        """Process a row; return whether that could be done now."""
        bad = self.checker.claim(row)
        if bad is not None or isinstance(row, BadRow):
            # It has no entry: without a key of its own, nothing could be found again.
            self.cursor.tally.counts[self._status_of_invalid] += 1
            return True
        if row.key in self.waves.known and row.key not in self.to_send:
            return True
        try:
            request = self.checker.request(row)
        except (ConnectionError, TimeoutError) as error:
            await self._put_aside(row, Problem(Status.UNFINISHED, str(error), _UNREADABLE, False, self._try_number))
            return True
        if isinstance(request, BadRow):
            await self._refuse(row, request)
            return True
        decision = self.to_send.get(row.key, Submit(1))
        if isinstance(decision, Replay) and self.options.fingerprint(request) != decision.record.fingerprint:
            changed = request_changed_meanwhile(decision.record)
            await self._put_aside(row, Problem.of(changed, self._try_number, Status.UNFINISHED))
            return True
        return await self._submit(row, request, decision)

    @property
    def _status_of_invalid(self) -> Status:
        return Status.SKIPPED if self.options.on_invalid == "skip" else Status.FAILED

    async def _refuse(self, row: Row, bad: BadRow) -> None:
        """Note a row that can't be sent."""
        chunk = await self.waves.chunk_for(row.key)
        record = chunk.rows.get(row.key, RowEntry(row.key)).record
        is_open = record is not None and record.phase is Phase.INTENT
        status = Status.UNFINISHED if is_open else self._status_of_invalid
        await self._put_aside(row, Problem(status, bad.problem, "InvalidInput", True, self._try_number))

    async def _put_aside(self, row: Row, problem: Problem) -> None:
        chunk = await self.waves.chunk_for(row.key)
        self.to_send.pop(row.key, None)
        self.waves.put(chunk, chunk.rows.get(row.key) or RowEntry(row.key), problem)

    async def _submit(self, row: Row, request: GenerationRequest, decision: Submit | Replay) -> bool:
        chunk = await self.waves.chunk_for(row.key)
        pattern = row_pattern(self.options.filename_pattern, row)
        price = price_class(request.body) if self.budget.is_limited else ""
        entry = chunk.rows.get(row.key) or RowEntry(row.key)
        entry = replace(entry, pattern=pattern, price_class=price, existing=(), removed=False)
        is_new = isinstance(decision, Submit)
        try:
            existing = self._existing(pattern) if is_new and not entry.files else []
        except LandingError as error:
            self.stop(error)
            return False
        if existing:
            self._leave_existing(chunk, entry, existing)
            return True
        if is_new and not (await self._reads_credits() and await self._is_admitted(price)):
            return False
        self.to_send.pop(row.key, None)
        await self._add(entry, request, decision)
        return True

    def _existing(self, pattern: str) -> list[ExistingFile]:
        may_replace = not self.options.skip_existing and self.options.on_existing is OnExisting.REPLACE
        return [] if may_replace else self.existing.of(pattern)

    def _leave_existing(self, chunk: Chunk, entry: RowEntry, existing: list[ExistingFile]) -> None:
        """Note a row that is not generated because its file is there, or because landing would fail."""
        # A worker that died may have landed what the row made before it was changed, without recording it.
        is_maybe_own = entry.record is not None and entry.record.phase is Phase.SUBMITTED
        if self.options.skip_existing and not is_maybe_own:
            self.waves.put(chunk, replace(entry, existing=tuple(existing)), None)
            return
        text = file_exists(existing[0].uri, entry.generation_id if is_maybe_own else None)
        self.waves.put(chunk, entry, Problem(Status.FAILED, text, "FileConflict", True, self._try_number))

    async def _reads_credits(self) -> bool:
        """Read now and then how many credits are left, if some must be; return whether that is known."""
        now = time.monotonic()
        if self.budget.minimum is None or now < self._next_credits_read:
            return True
        try:
            self.budget.note_left(await asyncio.to_thread(self.credits_left), self._committed)
        except EvoLinkError as error:
            self.stop(error)
            return False
        self._next_credits_read = now + _CREDITS_SECONDS
        return True

    async def _is_admitted(self, price: str) -> bool:
        admission = self.budget.admit(price, self._committed)
        if admission is Admission.WAIT:
            # The responses to the current wave may make room, or show a price.
            await self.waves.submit()
            admission = self.budget.admit(price, self._committed)
        return admission is not Admission.WAIT

    async def _add(self, entry: RowEntry, request: GenerationRequest, decision: Submit | Replay) -> None:
        chunk, options = await self.waves.chunk_for(entry.key), self.options
        if isinstance(decision, Replay):
            intent = decision.record
        else:
            fingerprint = options.fingerprint(request)
            intent = new_intent(decision, request.model, fingerprint, options.api_key, now=time.time())
            intent = replace(intent, try_number=options.try_number, max_tries=options.max_tries)
        self.waves.add(chunk, Job(entry, request, intent))
