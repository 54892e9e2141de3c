# SPDX-License-Identifier: Apache-2.0
"""The manifest: one JSON line per row, in the order of the table, with what came of it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, cast

from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status, spent, used_and_reserved
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.batch.rows import BadRow, Row
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.staged_file import StagedFile
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.types import BatchSummary, ManifestLine

_CONTENT_TYPE = "application/jsonl"
_MAX_LISTED = 10


class Requested(NamedTuple):
    """What a row asks for, as the table has it at the end.

    :param prompt: shortened, see :func:`~airflow_provider_evolink.execution.announcement.shortened_prompt`.
    """

    model: str | None = None
    prompt: str | None = None


@dataclass
class Outcome:
    """What came of a batch.

    :param counts: rows by status; none is under way.
    :param problems: the first ten rows that have failed or are unfinished, with their problem.
    :param problem_count: how many there are.
    :param unsent: how many rows were not sent, for no reason of their own.
    :param retryable: how many of all these a new try can help.
    :param credits_used: by this task in all its tries, also for rows that the table no longer has.
    :param credits_reserved: that EvoLink has reserved for it and not settled.
    """

    counts: Counter[Status] = field(default_factory=Counter)
    problems: list[tuple[str, Problem]] = field(default_factory=list)
    problem_count: int = 0
    unsent: int = 0
    retryable: int = 0
    credits_used: float = 0.0
    credits_reserved: float = 0.0

    @property
    def total(self) -> int:
        """The number of rows."""
        return self.counts.total()

    def summary(self, manifest: str) -> BatchSummary:
        """Return what the task returns."""
        return {
            "manifest": manifest,
            "total": self.total,
            "landed": self.counts[Status.LANDED],
            "skipped": self.counts[Status.SKIPPED],
            "failed": self.counts[Status.FAILED],
            "unfinished": self.counts[Status.UNFINISHED],
            "credits_used": _number(self.credits_used),
            "credits_reserved": _number(self.credits_reserved),
        }

    def add(self, key: str, problem: Problem | None, status: Status, *, is_own: bool) -> None:
        """Count a row of the table.

        :param is_own: whether the problem is the row's own, and not that of all rows that were not sent.
        """
        self.counts[status] += 1
        if status in {Status.LANDED, Status.SKIPPED} or problem is None:
            return
        self.retryable += not problem.is_permanent
        self.unsent += not is_own
        self.problem_count += is_own
        if is_own and len(self.problems) < _MAX_LISTED:
            self.problems.append((key, problem))

    def add_credits(self, entry: RowEntry) -> None:
        """Count what was spent on an entry of the ledger."""
        used, reserved = used_and_reserved(entry)
        self.credits_used += used
        self.credits_reserved += reserved


@dataclass
class ManifestWriter:
    """Write the manifest of a batch.

    :param ledger: of the batch.
    :param unsent: why rows without an entry were not sent.
    :param requested: returns what a row asks for.
    :param on_entry: receives each row of the table that has an entry, with what came of it.
    :ivar outcome: what came of the rows that were written.
    """

    ledger: BatchLedger
    unsent: Problem
    requested: Callable[[Row | BadRow], Requested]
    on_entry: Callable[[Row | BadRow, RowEntry, Status], None] | None = None
    outcome: Outcome = field(default_factory=Outcome, init=False)

    def write(self, rows: Iterable[tuple[Row | BadRow, Problem | None]], target: StorageTarget) -> Outcome:
        """Write one line per row, in place of an earlier manifest, and return what came of them.

        :param rows: of the table, each with why it can't be sent, if it can't.
        :raises LandingError: it could not be written; an earlier one is still there. A retry writes it again.
        :raises LedgerError: a later try has superseded this one; its manifest must not be replaced.
        """
        with cast(BinaryIO, tempfile.TemporaryFile()) as stream:
            for line in self._lines(rows):
                stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self.ledger.confirm_is_current()
            file = StagedFile(stream, stream.tell(), _CONTENT_TYPE, None)
            storage.publish(file, target, replace=True)
        return self.outcome

    def _lines(self, rows: Iterable[tuple[Row | BadRow, Problem | None]]) -> Iterator[ManifestLine]:
        entries = _Entries(self.ledger.chunks(), self.outcome.add_credits)
        for row, refusal in rows:
            key = row.key or f"row {row.number}"
            entry = None if refusal is not None else entries.pop(key)
            problem = refusal or _problem(entry, self.unsent)
            status = (refusal or self.unsent).status if entry is None else _final(entry)
            self.outcome.add(key, problem, status, is_own=problem is not self.unsent)
            if entry is not None and self.on_entry is not None:
                self.on_entry(row, entry, status)
            yield manifest_line(row.key, entry, problem, status, self.requested(row))
        entries.read_all()


def manifest_line(
    key: str | None,
    entry: RowEntry | None,
    problem: Problem | None,
    status: Status,
    requested: Requested,
) -> ManifestLine:
    """Return the line of a row.

    :return: ``{key, status, model, prompt, generation_id, uris, posters, bytes, sha256, seconds, credits, error,
        tries}``; the four lists have an item for each file, ``error`` is ``{code, text}`` or ``None``, ``tries`` the
        number of submissions.
    """
    entry = entry or RowEntry(key or "")
    files, record = entry.landed, entry.record
    return {
        "key": key,
        "status": status.value,
        "model": requested.model if record is None else record.model,
        "prompt": requested.prompt,
        "generation_id": entry.generation_id,
        "uris": [file.uri for file in files or entry.existing],
        "posters": [file.poster for file in files or entry.existing],
        "bytes": [file.bytes for file in files],
        "sha256": [file.sha256 for file in files],
        "seconds": entry.seconds,
        "credits": None if record is None else _number(entry.credits_before + spent(entry)),
        "error": None if problem is None else {"code": problem.code, "text": problem.text},
        "tries": 0 if record is None or record.send_count == 0 else record.submission_number,
    }


class _Entries:
    """The entries of the ledger by key; read chunk by chunk, since they come in the order of the table.

    :param on_read: receives each entry, also those that the table no longer has.
    """

    def __init__(self, chunks: Iterator[Chunk], on_read: Callable[[RowEntry], None]) -> None:
        self._chunks = chunks
        self._on_read = on_read
        self._entries: dict[str, RowEntry] = {}

    def pop(self, key: str) -> RowEntry | None:
        """Return the entry of a row."""
        while key not in self._entries and (chunk := next(self._chunks, None)) is not None:
            self._read(chunk)
        return self._entries.pop(key, None)

    def read_all(self) -> None:
        """Read what follows the last row of the table."""
        for chunk in self._chunks:
            self._read(chunk)

    def _read(self, chunk: Chunk) -> None:
        for key, entry in chunk.rows.items():
            self._on_read(entry)
            if not entry.removed:
                self._entries[key] = entry


def _problem(entry: RowEntry | None, unsent: Problem) -> Problem | None:
    if entry is None:
        return unsent
    return entry.problem or (unsent if _final(entry) is Status.UNFINISHED else None)


def _final(entry: RowEntry) -> Status:
    return Status.UNFINISHED if entry.status is Status.UNDER_WAY else entry.status


def _number(value: float) -> float | int:
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded
