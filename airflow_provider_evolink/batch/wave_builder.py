# SPDX-License-Identifier: Apache-2.0
"""Put rows into the chunks that hold them, and submit those of a chunk together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.known_rows import KnownRow
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.batch.wave import Job, WaveSubmitter


@dataclass
class _Wave:
    """Rows of one chunk that are submitted together."""

    chunk: Chunk
    jobs: list[Job] = field(default_factory=list)
    is_changed: bool = False


@dataclass
class WaveBuilder:
    """Collect a wave of rows of one chunk, and submit it when a row of another chunk comes.

    :param ledger: of the batch.
    :param submitter: of waves.
    :param cursor: knows which chunk new rows go to, and whether nothing is submitted any more.
    :param known: the rows that the ledger has, by key.
    :param chunks: those that are loaded: with rows under way, or of the current wave.
    """

    ledger: BatchLedger
    submitter: WaveSubmitter
    cursor: Cursor
    known: Mapping[str, KnownRow] = field(default_factory=dict)
    chunks: dict[int, Chunk] = field(default_factory=dict)
    _wave: _Wave | None = None

    @property
    def size(self) -> int:
        """How many rows of the current wave are to be sent."""
        return len(self._wave.jobs) if self._wave else 0

    def add(self, chunk: Chunk, job: Job) -> None:
        """Add a row to be sent."""
        self._wave_of(chunk).jobs.append(job)

    def put(self, chunk: Chunk, entry: RowEntry, problem: Problem | None) -> None:
        """Note a row that is not sent, and why."""
        chunk.put(replace(entry, problem=problem))
        self._wave_of(chunk).is_changed = True

    async def chunk_for(self, key: str) -> Chunk:
        """Return the chunk of a row, the one that is being filled for a new one, after ending another's wave."""
        known = self.known.get(key)
        chunk = self._load(known.chunk if known else self.cursor.last_chunk)
        in_wave = self.size if self._wave and self._wave.chunk is chunk else 0
        if known is None and chunk.room - in_wave <= 0:
            await self.submit()
            self.cursor.last_chunk, self.cursor.last_chunk_rows = self.cursor.last_chunk + 1, 0
            chunk = self._load(self.cursor.last_chunk)
        if self._wave is not None and self._wave.chunk is not chunk:
            await self.submit()
            self._drop_settled(chunk)
        return chunk

    async def submit(self) -> None:
        """Submit the current wave, if there is one.

        :raises LedgerError: the intents could not be recorded; nothing of the wave was sent.
        """
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

    def _wave_of(self, chunk: Chunk) -> _Wave:
        if self._wave is None or self._wave.chunk is not chunk:
            self._wave = _Wave(chunk)
        return self._wave

    def _load(self, number: int) -> Chunk:
        if number not in self.chunks:
            self.chunks[number] = self.ledger.read(number) or Chunk(number)
            self.chunks[number].tally = self.cursor.tally
        return self.chunks[number]

    def _drop_settled(self, current: Chunk) -> None:
        """Forget the chunks without a row under way, as of rows that are skipped: there may be very many."""
        for number, chunk in list(self.chunks.items()):
            if chunk is not current and not any(row.status is Status.UNDER_WAY for row in chunk.rows.values()):
                del self.chunks[number]
