# SPDX-License-Identifier: Apache-2.0
"""Describe what the entries of ledgers say was paid for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.entry import RowEntry, spent
from airflow_provider_evolink.batch.ledger import rows_in_chunk
from airflow_provider_evolink.cli.stored_entries import PLACES, Instance, StoredEntry
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

UNREADABLE = "unreadable"


@dataclass
class Submission:
    """A submission that a ledger knows.

    :param row: key of the batch's row, or the store key of a single generation's record.
    :param entry: as the newest entry has it; ``None`` if it is unreadable.
    :param places: ``files``, ``store`` and ``copy``, or some of them.
    """

    instance: Instance
    row: str
    entry: RowEntry | None
    places: set[str] = field(default_factory=set)

    @property
    def record(self) -> LedgerRecord | None:
        """Its record, if it can be read."""
        return None if self.entry is None else self.entry.record

    @property
    def credits(self) -> float | None:
        """What it has cost or reserved, with the generations that it has replaced; ``None`` if that is unknown."""
        record, entry = self.record, self.entry
        if record is None or entry is None:
            return None
        is_unanswered = record.phase is Phase.INTENT and record.send_count > 0
        is_paid = record.phase in {Phase.SUBMITTED, Phase.FINISHED}
        is_unpriced = is_paid and record.credits_reserved is None and entry.credits_used is None
        return None if is_unanswered or is_unpriced else entry.credits_before + spent(entry)

    def to_row(self) -> dict[str, Any]:
        """Return it as it is printed."""
        record = self.record
        submitted_at = None if record is None else record.submitted_at or record.intent_at
        return {
            "run_id": self.instance.run_id,
            "map_index": self.instance.map_index,
            "record": self.row,
            "phase": UNREADABLE if record is None else record.phase.value,
            "generation_id": None if record is None else record.generation_id,
            "model": None if record is None else record.model,
            "credits": self.credits,
            "submitted_at": submitted_at and datetime.fromtimestamp(submitted_at, UTC).isoformat(timespec="seconds"),
            "replaced": [] if record is None else list(record.previous_ids),
            "in": sorted(self.places, reverse=True),
        }


def submissions_in(entries: Iterable[StoredEntry]) -> list[Submission]:
    """Return the submissions that entries know, each once: as the newest entry in the first of its places has it."""
    found: dict[tuple[Any, ...], Submission] = {}
    for entry in sorted(entries, key=_newest_first):
        for row, known in _rows(entry):
            key = (entry.instance, row, known and known.record and known.record.idempotency_key)
            submission = found.setdefault(key, Submission(entry.instance, row, known))
            submission.places.add(entry.place)
    return sorted(found.values(), key=lambda each: (each.instance, each.row))


def _newest_first(entry: StoredEntry) -> tuple[Any, ...]:
    _, _, number = entry.key.rpartition(".")
    return (PLACES.index(entry.place), -(int(number) if number.isdecimal() else 1))


def _rows(entry: StoredEntry) -> Iterator[tuple[str, RowEntry | None]]:
    name = entry.key.partition(".")[0]
    if name.endswith("-batch-reporter"):
        return
    if not (isinstance(entry.value, Mapping) and "rows" in entry.value):
        yield name, _single(entry.value)
        return
    try:
        rows = rows_in_chunk(entry.value)
    except LedgerError:
        yield name, None
        return
    for row in rows:
        try:
            known = RowEntry.from_json(row)
        except LedgerError:
            yield name, None
            continue
        if known.record is not None:
            yield known.key, known


def _single(value: Any) -> RowEntry | None:
    try:
        record = LedgerRecord.from_json(value)
    except LedgerError:
        return None
    usage = (record.result or {}).get("usage") or {}
    return RowEntry("", record=record, credits_used=usage.get("credits_used"))
