# SPDX-License-Identifier: Apache-2.0
"""The durable record of a batch, in chunks of up to a hundred rows.

The rules of :mod:`airflow_provider_evolink.submission.ledger` hold for each row. One write covers all rows of a chunk,
so that the intents of a wave cost one write, and their ids another.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_evolink.api.errors import ConfigurationError, InvalidInputError, LedgerError
from airflow_provider_evolink.batch.entry import RowEntry
from airflow_provider_evolink.batch.tally import Tally
from airflow_provider_evolink.submission.entries import (
    ABSENT,
    Store,
    TryEntries,
    intent_at,
    is_open,
    with_response,
)
from airflow_provider_evolink.submission.record import LedgerRecord, Phase, unreadable, value_lost

# Rows in one entry of the store: some 25 kB, or 50 kB if each has landed four files. Airflow considers 64 KiB large.
# Each write of an entry costs it several milliseconds, however small it is.
ROWS_PER_CHUNK = 100
# Chunks whose rows a worker remembers once it has stored them: the manifest, which follows, need not ask for them.
_REMEMBERED_CHUNKS = 10
# Rows have much in common, their links above all: the lowest level leaves a quarter.
_COMPRESSION_LEVEL = 1


@dataclass
class Chunk:
    """The rows that share one entry of the store.

    :param number: of the chunk, from 0.
    :param rows: by key.
    :param tally: counts every change of a row.
    :ivar changes: those that are not stored yet: a row's record before it, and the row after it.
    """

    number: int
    rows: dict[str, RowEntry] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    changes: list[tuple[LedgerRecord | None, RowEntry]] = field(default_factory=list, init=False)

    @property
    def room(self) -> int:
        """How many rows can be added."""
        return ROWS_PER_CHUNK - len(self.rows)

    def put(self, entry: RowEntry) -> None:
        """Add a row, or replace its entry; nothing is stored."""
        old = self.rows.get(entry.key)
        self.tally.replace(old, entry)
        self.changes.append((None if old is None else old.record, entry))
        self.rows[entry.key] = entry


@dataclass(frozen=True, slots=True)
class BatchLedger:
    """Read and write the chunks of one task instance.

    :param store: Airflow's task state store, or files. It refuses the writes of a try that has been superseded.
    :param retention: passed with each write.
    :param name: store key, to which the chunk's number is appended.
    :param try_number: of the try that reads and writes.
    :param copy: a second store, which a clear does not empty.
    :param not_before: earliest time at which an intent in the copy can have been written, in seconds since the epoch;
        older ones belong to a deleted run of the same name.
    :param log: receives warnings about the copy.
    :param on_change: receives each change of a row once it is durable: the record before and after it, and the credits
        that EvoLink reports as used. Not of a row that lands again, which changes nothing about what it has cost.
    """

    store: Store
    retention: Any
    name: str
    try_number: int
    copy: Store | None
    not_before: float
    log: Any
    on_change: Callable[[LedgerRecord | None, LedgerRecord, float | None], None] = lambda *_: None
    _stored: dict[int, dict[str, RowEntry]] = field(default_factory=dict, init=False, repr=False)

    def chunks(self) -> Iterator[Chunk]:
        """Read all chunks in order, one at a time."""
        number = 0
        while (chunk := self.read(number)) is not None:
            yield chunk
            number += 1

    def read(self, number: int) -> Chunk | None:
        """Read a chunk, unless this worker has just stored it; ``None`` if there never was one of this number.

        :raises LedgerError: it could not be read. Nothing may be sent then.
        :raises ConfigurationError, InvalidInputError: its storage can't hold a ledger.
        """
        if number in self._stored:
            return Chunk(number, dict(self._stored[number]))
        try:
            rows = self._rows(self._entries(number))
        except (ConfigurationError, InvalidInputError, LedgerError):
            raise
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be read ({error}), so nothing was sent. A retry reads it again."
            ) from error
        return None if rows is None else Chunk(number, {row.key: row for row in map(RowEntry.from_json, rows)})

    def ends_with(self, number: int, row_count: int) -> bool:
        """Return whether a chunk is the last one and has so many rows: whether nothing was submitted since then.

        :raises LedgerError: it could not be read.
        """
        chunk = self.read(number)
        return len(chunk.rows if chunk else ()) == row_count and self.read(number + 1) is None

    def write(self, chunk: Chunk, *, first_sends: Collection[str] = ()) -> None:
        """Store a chunk; it is durable on return.

        :param first_sends: keys of the rows whose first send waits for this write: if it fails, they were never sent.
        :raises LedgerError: it could not be written, for example because a later try has superseded this one.
        """
        self._stored.pop(chunk.number, None)
        entries, value = self._entries(chunk.number), to_stored(chunk.rows.values())
        # The copy first: the write that Airflow refuses to a superseded try must be the last one before a send.
        self._write_copy(entries, value)
        try:
            entries.write(value)
        except Exception as error:
            rows = (_never_sent(row) if row.key in first_sends else row for row in chunk.rows.values())
            self._write_copy(entries, to_stored(rows))
            raise LedgerError(
                f"The task's ledger could not be written ({error}). A retry continues from what it holds."
            ) from error
        self._remember(chunk)
        changes, chunk.changes = chunk.changes, []
        for before, row in changes:
            if row.record is not None and not row.was_landed:
                self.on_change(before, row.record, row.credits_used)

    def confirm_is_current(self) -> None:
        """Make sure that no later try has superseded this one, which to Airflow's store looks like an empty ledger.

        :raises LedgerError: one has, or that could not be found out. What was read may not be what there is.
        """
        try:
            self.store.set(f"{self.name}-reporter", {"try_number": self.try_number}, retention=self.retention)
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be written ({error}), so what it holds was not reported. A retry, or the "
                "try that has superseded this one, reports it."
            ) from error

    def _remember(self, chunk: Chunk) -> None:
        self._stored[chunk.number] = dict(chunk.rows)
        if len(self._stored) > _REMEMBERED_CHUNKS:
            del self._stored[next(iter(self._stored))]

    def _entries(self, number: int) -> TryEntries:
        return TryEntries(self.store, self.retention, f"{self.name}-{number}", self.try_number, self.copy)

    def _write_copy(self, entries: TryEntries, value: Mapping[str, Any]) -> None:
        try:
            entries.write_copy(value)
        except Exception as error:
            self.log.warning(
                "The ledger's copy could not be written (%s). If Airflow empties this task's state store, as 3.4 does "
                "when a task is cleared, what this try pays for will be forgotten.",
                error,
            )

    def _rows(self, entries: TryEntries) -> Sequence[Any] | None:
        stored = entries.newest()
        if stored is None or (stored is ABSENT and self.try_number > 1):
            rows = self._copied(entries)
            if rows is None and stored is None:
                raise value_lost()
            return rows
        return None if stored is ABSENT else self._with_copied_ids(rows_in_chunk(stored, entries.name), entries)

    def _copied(self, entries: TryEntries) -> Sequence[Any] | None:
        """Return the latest submission of each row in the copy; ``None`` if it holds none."""
        candidates: dict[str, list[Any]] = {}
        for copied in list(entries.copied()):
            for row in rows_in_chunk(copied, entries.name):
                if _submitted_at(row) >= self.not_before:
                    candidates.setdefault(row["key"], []).append(row)
        if not candidates:
            return None
        self.log.warning(
            "The ledger holds no record of this batch's earlier tries, as after a clear that empties Airflow's task "
            "state store. Using the ledger's copy."
        )
        latest = [max(rows, key=_submitted_at) for rows in candidates.values()]
        return [_with_id(row, candidates[row["key"]]) for row in latest]

    def _with_copied_ids(self, rows: Sequence[Any], entries: TryEntries) -> Sequence[Any]:
        """Look for ids that only the copy holds; if that can't be read, the submissions stay open."""
        if not any(is_open(row.get("record")) for row in rows):
            return rows
        try:
            copied = [row for copy in entries.copied() for row in rows_in_chunk(copy, entries.name)]
        except Exception as error:
            self.log.warning("The ledger's copy could not be read (%s); it may know more than the ledger.", error)
            return rows
        return [_with_id(row, copied) for row in rows]


def _never_sent(row: RowEntry) -> RowEntry:
    """Mark a refused intent that was never sent, so that it does not pass for the copy's latest submission."""
    return replace(row, record=row.record and replace(row.record, phase=Phase.WITHDRAWN, intent_at=0.0))


def _with_id(row: Any, others: Iterable[Any]) -> Any:
    """Return the row as another entry has it, files included, if that knows the response to its open submission."""
    record, own = row.get("record"), [other for other in others if other["key"] == row["key"]]
    found = with_response(record, (other.get("record") for other in own))
    return next((other for other in own if other.get("record") is found), row)


def _submitted_at(row: Any) -> float:
    """Return when a row's submission began; one that was never submitted must not hide a submission."""
    record = row.get("record")
    return 0.0 if record is None else intent_at(record)


def to_stored(rows: Iterable[RowEntry]) -> dict[str, Any]:
    """Return what the store holds of a chunk: one text, since Airflow checks and copies every value of a structure."""
    text = json.dumps([row.to_json() for row in rows])
    return {"rows": b64encode(zlib.compress(text.encode(), _COMPRESSION_LEVEL)).decode()}


def rows_in_chunk(stored: Any, name: str = "") -> Sequence[Any]:
    """Return the rows in what the store holds of a chunk.

    :param name: store key of its first try's entry, for errors.
    :raises LedgerError: it is not a valid chunk. Nothing may be sent then.
    """
    packed, what = stored.get("rows") if isinstance(stored, Mapping) else None, f"the rows of a batch in {name!r}"
    if not isinstance(packed, str):
        raise unreadable(f"{what} are missing")
    try:
        rows = json.loads(zlib.decompress(b64decode(packed, validate=True)))
    except (ValueError, RecursionError, zlib.error) as error:
        raise unreadable(f"{what}: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) and "key" in row for row in rows):
        raise unreadable(f"{what} are missing")
    return rows
