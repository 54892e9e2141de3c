# SPDX-License-Identifier: Apache-2.0
"""Count the rows of a batch by status, and its credits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.batch.entry import RowEntry, Status, used_and_reserved


@dataclass
class Tally:
    """How many rows have got how far, and what they cost.

    :param total: rows of the table.
    :param counts: of the rows that have an entry, by status.
    :param used: credits that this task has used in all its tries, also for rows that the table no longer has.
    :param reserved: credits that EvoLink has reserved for it and not settled yet.
    """

    total: int = 0
    counts: Counter[Status] = field(default_factory=Counter)
    used: float = 0.0
    reserved: float = 0.0

    def add(self, entry: RowEntry) -> None:
        """Count an entry."""
        self._count(entry, 1)

    def replace(self, old: RowEntry | None, new: RowEntry) -> None:
        """Count an entry anew after it has changed."""
        if old is not None:
            self._count(old, -1)
        self._count(new, 1)

    @property
    def processed(self) -> int:
        """How many rows have an entry."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many rows need nothing more in this try."""
        return self.processed - self.counts[Status.UNDER_WAY]

    def facts(self) -> ErrorFacts:
        """Return what the rows have cost, for an error. A row that is unfinished may have been charged."""
        may_be_charged = self.reserved > 0 or self.counts[Status.UNFINISHED] + self.counts[Status.UNDER_WAY] > 0
        charged = True if self.used > 0 else None if may_be_charged else False
        return ErrorFacts(credits_used=self.used, credits_reserved=self.reserved, charged=charged)

    def to_json(self) -> dict[str, Any]:
        """Return the form that travels with a deferred task."""
        counts = {status.value: count for status, count in self.counts.items() if count}
        return {"total": self.total, "counts": counts, "used": self.used, "reserved": self.reserved}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Tally:
        """Read that form."""
        counts = Counter({Status(status): int(count) for status, count in stored["counts"].items()})
        return cls(int(stored["total"]), counts, float(stored["used"]), float(stored["reserved"]))

    def _count(self, entry: RowEntry, sign: int) -> None:
        if not entry.removed:
            self.counts[entry.status] += sign
        used, reserved = used_and_reserved(entry)
        self.used += sign * used
        self.reserved += sign * reserved
