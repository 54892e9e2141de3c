# SPDX-License-Identifier: Apache-2.0
"""Submit the rows of a table in waves, until as many are under way as the window takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import EvoLinkError, InsufficientCreditsError, LandingError
from airflow_provider_evolink.batch.budget import Admission, Budget, price_class
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.errors import file_exists, no_room
from airflow_provider_evolink.batch.existing_files import ExistingFiles
from airflow_provider_evolink.batch.known_rows import KnownRow
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.batch.names import row_pattern
from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.batch.rows import BadRow, Row, RowTable
from airflow_provider_evolink.batch.validation import Checker
from airflow_provider_evolink.batch.wave import Job, Wave, WaveSubmitter
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.submission.decision import Replay, Submit
from airflow_provider_evolink.submission.record import Phase
from airflow_provider_evolink.submission.reports import request_changed_meanwhile
from airflow_provider_evolink.submission.send_outcome import new_intent

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest

_UNREADABLE = "UnreadableInput"


@dataclass
class Window:
    """Submit rows in the order of the table, as far as the window, the budget and the account allow.

    :param known: the rows that the ledger has, too, by key.
    :param to_send: what is to be submitted or sent again for them, by key.
    :param ready: rows that have ended and are about to be landed: they no longer count as under way.
    """

    options: BatchOptions
    table: RowTable
    checker: Checker
    ledger: BatchLedger
    submitter: WaveSubmitter
    budget: Budget
    existing: ExistingFiles
    cursor: Cursor
    is_killed: Callable[[], bool]
    log: Any
    known: Mapping[str, KnownRow] = field(default_factory=dict)
    to_send: dict[str, Submit | Replay] = field(default_factory=dict)
    ready: int = 0
    _chunks: dict[int, Chunk] = field(default_factory=dict)
    _wave: Wave | None = None

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
        self._chunks = chunks
        try:
            if not self.is_done:
                await self._fill()
        except (ConnectionError, TimeoutError) as error:
            # The table can't be read at the moment; what is paid for lands all the same.
            await self._flush()
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
        await self._flush()
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
        await self._flush()

    async def _has_room(self) -> bool:
        """Return whether a row may be submitted, which may take the end of the current wave."""
        if self._room() <= 0:
            await self._flush()
        self._stop_if_needed()
        return self.cursor.stop is None and not self.is_killed() and self._room() > 0

    def _room(self) -> int:
        in_wave = len(self._wave.jobs) if self._wave else 0
        return self.options.max_in_flight - (self.cursor.tally.counts[Status.UNDER_WAY] - self.ready) - in_wave

    def _stop_if_needed(self) -> None:
        tally = self.cursor.tally
        if self.submitter.stopped_by is not None:
            self.stop(self.submitter.stopped_by)
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
            in_doubt = (+self.budget.pending).total()
            self.stop(no_room(self.options.max_credits or 0.0, self._committed, in_doubt))

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
        if row.key in self.known and row.key not in self.to_send:
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
        chunk = await self._chunk_for(row.key)
        record = chunk.rows.get(row.key, RowEntry(row.key)).record
        is_open = record is not None and record.phase is Phase.INTENT
        status = Status.UNFINISHED if is_open else self._status_of_invalid
        await self._put_aside(row, Problem(status, bad.problem, "InvalidInput", True, self._try_number))

    async def _put_aside(self, row: Row, problem: Problem) -> None:
        chunk = await self._chunk_for(row.key)
        self.to_send.pop(row.key, None)
        self._put(chunk, chunk.rows.get(row.key) or RowEntry(row.key), problem)

    async def _submit(self, row: Row, request: GenerationRequest, decision: Submit | Replay) -> bool:
        chunk = await self._chunk_for(row.key)
        pattern = row_pattern(self.options.filename_pattern, row)
        price = price_class(request.body) if self.options.max_credits is not None else ""
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
        if is_new and not await self._is_admitted(price):
            return False
        self.to_send.pop(row.key, None)
        await self._add(entry, request, decision)
        return True

    def _existing(self, pattern: str) -> list[str]:
        may_replace = not self.options.skip_existing and self.options.on_existing is OnExisting.REPLACE
        return [] if may_replace else self.existing.of(pattern)

    def _leave_existing(self, chunk: Chunk, entry: RowEntry, existing: list[str]) -> None:
        """Note a row that is not generated because its file is there, or because landing would fail."""
        # A worker that died may have landed what the row made before it was changed, without recording it.
        is_maybe_own = entry.record is not None and entry.record.phase is Phase.SUBMITTED
        if self.options.skip_existing and not is_maybe_own:
            self._put(chunk, replace(entry, existing=tuple(existing)), None)
            return
        text = file_exists(existing[0], entry.generation_id if is_maybe_own else None)
        self._put(chunk, entry, Problem(Status.FAILED, text, "FileConflict", True, self._try_number))

    async def _is_admitted(self, price: str) -> bool:
        admission = self.budget.admit(price, self._committed)
        if admission is Admission.WAIT:
            # The responses to the current wave may make room, or show a price.
            await self._flush()
            admission = self.budget.admit(price, self._committed)
        return admission is not Admission.WAIT

    async def _add(self, entry: RowEntry, request: GenerationRequest, decision: Submit | Replay) -> None:
        chunk, options = await self._chunk_for(entry.key), self.options
        if isinstance(decision, Replay):
            intent = decision.record
        else:
            fingerprint = options.fingerprint(request)
            intent = new_intent(decision, request.model, fingerprint, options.api_key, now=time.time())
            intent = replace(intent, try_number=options.try_number, max_tries=options.max_tries)
        self._wave_for(chunk).jobs.append(Job(entry, request, intent))

    def _put(self, chunk: Chunk, entry: RowEntry, problem: Problem | None) -> None:
        chunk.put(replace(entry, problem=problem))
        self._wave_for(chunk).is_changed = True

    def _wave_for(self, chunk: Chunk) -> Wave:
        if self._wave is None or self._wave.chunk is not chunk:
            self._wave = Wave(chunk)
        return self._wave

    async def _chunk_for(self, key: str) -> Chunk:
        """Return the chunk of a row, the one that is being filled for a new one, after ending another's wave."""
        known = self.known.get(key)
        chunk = self._load(known.chunk if known else self.cursor.last_chunk)
        in_wave = len(self._wave.jobs) if self._wave and self._wave.chunk is chunk else 0
        if known is None and chunk.room - in_wave <= 0:
            await self._flush()
            self.cursor.last_chunk, self.cursor.last_chunk_rows = self.cursor.last_chunk + 1, 0
            chunk = self._load(self.cursor.last_chunk)
        if self._wave is not None and self._wave.chunk is not chunk:
            await self._flush()
            self._drop_settled(chunk)
        return chunk

    def _drop_settled(self, current: Chunk) -> None:
        """Forget the chunks without a row under way, as of rows that are skipped: there may be very many."""
        for number, chunk in list(self._chunks.items()):
            if chunk is not current and not any(row.status is Status.UNDER_WAY for row in chunk.rows.values()):
                del self._chunks[number]

    def _load(self, number: int) -> Chunk:
        if number not in self._chunks:
            self._chunks[number] = self.ledger.read(number) or Chunk(number)
            self._chunks[number].tally = self.cursor.tally
        return self._chunks[number]

    async def _flush(self) -> None:
        """Submit the current wave."""
        wave, self._wave = self._wave, None
        if wave is None:
            return
        # What can no longer be accepted, or landed, stays as it was: not sent in this try.
        if wave.jobs and self.submitter.stopped_by is None and self.cursor.stop is None:
            await self.submitter.submit(wave.chunk, wave.jobs)
        elif wave.is_changed:
            self.ledger.write(wave.chunk)
        if wave.chunk.number == self.cursor.last_chunk:
            self.cursor.last_chunk_rows = len(wave.chunk.rows)
