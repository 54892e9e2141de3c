# SPDX-License-Identifier: Apache-2.0
"""What a batch remembers between two workers of one try, besides its ledger.

It travels with the deferred task, so it is small: counts and positions, whatever the number of rows. If it is lost, or
the table has changed, the next worker works it out anew from the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_evolink.batch.budget import Budget
from airflow_provider_evolink.batch.entry import Problem, Status
from airflow_provider_evolink.batch.tally import Tally

_VERSION = 1


@dataclass
class Cursor:
    """Where a batch is.

    :param keys_digest: of the table's keys in order.
    :param started_at: when this try began, in seconds since the epoch.
    :param position: rows of the table that have been processed.
    :param known_until: number of the table's last row that earlier tries had submitted or skipped.
    :param last_chunk: number of the chunk that is being filled.
    :param last_chunk_rows: how many rows it has.
    :param open_chunks: numbers of the chunks with rows under way.
    :param tally: counts and credits.
    :param prices: expected credits, by price class.
    :param pending: rows whose response is unknown, by price class.
    :param stop: why nothing more is submitted in this try.
    :param lacks_credits: whether that is because the account has too few credits.
    :param landing_failures: temporary ones since the last file that landed.
    :param failing_since: since when no read has succeeded, in seconds since the epoch.
    :param landed_before: rows that had landed before this try.
    """

    keys_digest: str
    started_at: float
    position: int = 0
    known_until: int = 0
    last_chunk: int = 0
    last_chunk_rows: int = 0
    open_chunks: list[int] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    prices: dict[str, float] = field(default_factory=dict)
    pending: Counter[str] = field(default_factory=Counter)
    stop: Problem | None = None
    lacks_credits: bool = False
    landing_failures: int = 0
    failing_since: float | None = None
    landed_before: int = 0

    def budget(self, limit: float | None, minimum: float | None) -> Budget:
        """Return the budget that this cursor carries on.

        :param limit: ``max_credits``.
        :param minimum: ``min_credits_left``.
        """
        return Budget(limit, self.prices, self.pending, minimum)

    @property
    def needs_plan(self) -> bool:
        """Whether rows follow that the ledger may have, too, so that it has to be read as a whole."""
        return self.position < self.known_until

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        stop = None if self.stop is None else [self.stop.status.value, self.stop.text, self.stop.code]
        return {
            "version": _VERSION,
            "keys_digest": self.keys_digest,
            "started_at": self.started_at,
            "position": self.position,
            "known_until": self.known_until,
            "last_chunk": self.last_chunk,
            "last_chunk_rows": self.last_chunk_rows,
            "open_chunks": self.open_chunks,
            "tally": self.tally.to_json(),
            "prices": self.prices,
            "pending": +self.pending,
            "stop": stop and [*stop, self.stop.is_permanent, self.stop.try_number],  # type: ignore[union-attr]
            "lacks_credits": self.lacks_credits,
            "landing_failures": self.landing_failures,
            "failing_since": self.failing_since,
            "landed_before": self.landed_before,
        }

    @classmethod
    def from_json(cls, stored: object) -> Cursor | None:
        """Read it; ``None`` if it can't be read, as after an update of this package."""
        if not isinstance(stored, Mapping) or stored.get("version") != _VERSION:
            return None
        # All of them: a position that is missing would be the first row, and everything would be sent again.
        try:
            values = {field.name: stored[field.name] for field in fields(cls)}
            values["tally"] = Tally.from_json(values["tally"])
            values["pending"] = Counter(values["pending"])
            if values["stop"] is not None:
                status, text, code, is_permanent, try_number = values["stop"]
                values["stop"] = Problem(Status(status), text, code, is_permanent, try_number)
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
