# SPDX-License-Identifier: Apache-2.0
"""The rows of the table that the ledger has, too: what they ask for now, and whether they were paid for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_evolink.batch.expected_prices import price_class
from airflow_provider_evolink.batch.ledger import BatchLedger
from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.batch.rows import BadRow, Row
from airflow_provider_evolink.batch.validation import Checker
from airflow_provider_evolink.submission.record import Phase

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row of the table that the ledger has, too.

    :param chunk: number of its chunk.
    :param fingerprint: of its request now; ``None`` if its input can't be read, and so can't be compared.
    :param pattern: of its file names now.
    :param price_class: of its request now.
    """

    chunk: int
    fingerprint: str | None = None
    pattern: str = ""
    price_class: str = ""


class PlanningChecker(Checker):
    """Checks rows at the start of a try, and notes what the plan needs to know of those that the ledger has, too.

    A row that an earlier try has paid for, or may have paid for, and that can't be checked any more is resumed
    without comparing its input; it does not count as a bad one.

    :param known: the rows of the ledger, by key; completed here.
    :param paid: keys of those that an earlier try has paid for, or may have.
    :ivar in_table: keys of the ledger's rows that the table has, too.
    :ivar known_until: number of the last of them in the table.
    """

    def __init__(
        self,
        prepare: Callable[[Row], GenerationRequest],
        name: Callable[[Row], str],
        options: BatchOptions,
        known: dict[str, KnownRow],
        paid: Collection[str],
    ) -> None:
        super().__init__(prepare, name)
        self._options = options
        self._name_row = name
        self._known = known
        self._paid = paid
        self.in_table: set[str] = set()
        self.known_until = 0

    def check(self, row: Row | BadRow) -> GenerationRequest | BadRow | None:
        """Return the request of a row, what is wrong with it, or ``None`` if it is resumed without a check."""
        bad = self.claim(row)
        if bad is not None or isinstance(row, BadRow):
            return bad
        known = self._known.get(row.key)
        if known is None:
            return self.request(row)
        self.in_table.add(row.key)
        self.known_until = row.number
        verdict = self._request_of_known(row)
        if verdict is None or isinstance(verdict, BadRow):
            return verdict
        self._known[row.key] = KnownRow(
            known.chunk,
            self._options.fingerprint(verdict),
            self._name_row(row),
            price_class(verdict.body) if self._options.has_budget else "",
        )
        return verdict

    def _request_of_known(self, row: Row) -> GenerationRequest | BadRow | None:
        is_paid = row.key in self._paid
        try:
            verdict = self.request(row)
        except (ConnectionError, TimeoutError):
            if is_paid:
                return None
            raise
        return None if is_paid and isinstance(verdict, BadRow) else verdict


def rows_of_ledger(ledger: BatchLedger) -> tuple[dict[str, KnownRow], set[str]]:
    """Return the rows that the ledger has, by key, and the keys of those that were paid for or may have been.

    :raises LedgerError: it could not be read. Nothing may be sent then.
    """
    known: dict[str, KnownRow] = {}
    latest: dict[str, float] = {}
    paid: set[str] = set()
    for chunk in ledger.chunks():
        for key, entry in chunk.rows.items():
            # An intent that only the copy holds may have got into another chunk than the row's later submission.
            submitted_at = 0.0 if entry.record is None else entry.record.intent_at
            if submitted_at >= latest.get(key, 0.0):
                known[key], latest[key] = KnownRow(chunk.number), submitted_at
            if entry.record is not None and entry.record.phase is not Phase.WITHDRAWN:
                paid.add(key)
    return known, paid
