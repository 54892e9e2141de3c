# SPDX-License-Identifier: Apache-2.0
"""Keep what a batch spends within ``max_credits``, and ``min_credits_left`` on the account. Pure but for its own state.

EvoLink states the price of a generation in its response, not before. So rows are put into price classes: requests
of one model whose parameters agree, texts and media left out. The first row of a class is sent alone; what it reserves
is expected of the others. A row counts with that price from the moment it is sent, so that concurrent sends and lost
responses can't pass the limit together. Only the first row of all, whose price nobody knows, could.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_evolink.api.errors import CreditsBelowMinimumError, EvoLinkError
from airflow_provider_evolink.batch.errors import no_room
from airflow_provider_evolink.batch.expected_prices import ExpectedPrices


class Admission(Enum):
    """Whether a row may be sent."""

    SEND = "send"
    SEND_ALONE = "send alone"
    """Its price is unknown: nothing else may be sent until its response is there."""
    WAIT = "wait"
    """It would pass the limit, or a price is awaited."""


@dataclass
class Budget:
    """What may still be spent.

    :param limit: ``max_credits``; ``None`` = unlimited.
    :param prices: credits expected of a row, by price class.
    :param pending: rows that are being sent, or whose response was lost, by price class.
    :param minimum: ``min_credits_left``; ``None`` = any number. Nothing is admitted before :meth:`note_left`.
    """

    limit: float | None
    prices: dict[str, float] = field(default_factory=dict)
    pending: Counter[str] = field(default_factory=Counter)
    minimum: float | None = None
    _account_limit: float = field(default=0.0, init=False)

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to keep within."""
        return self.limit is not None or self.minimum is not None

    def note_left(self, remaining: float, committed: float) -> None:
        """Take note of how many credits are left.

        :param remaining: of the account and the API key, whichever has fewer.
        :param committed: credits reserved and used by then.
        """
        self._account_limit = committed + remaining - (self.minimum or 0.0)

    def no_room(self, committed: float) -> EvoLinkError:
        """Return why no other row may be sent.

        :param committed: credits reserved and used so far.
        """
        if self.minimum is None or (self.limit is not None and self.limit < self._account_limit):
            return no_room(self.limit or 0.0, committed, (+self.pending).total())
        remaining = self._account_limit - committed + self.minimum
        price = max(self.prices.values(), default=None) if remaining >= self.minimum else None
        return CreditsBelowMinimumError(remaining, self.minimum, price)

    def admit(self, price_class: str, committed: float) -> Admission:
        """Decide whether a row may be sent now, and count it as pending if so.

        :param committed: credits reserved and used so far.
        """
        if not self.is_limited:
            return Admission.SEND
        admission = self._decide(price_class, self._limit() - committed)
        if admission is not Admission.WAIT:
            self.pending[price_class] += 1
        return admission

    def settle(self, price_class: str, price: float | None) -> None:
        """Count a row as no longer pending.

        :param price: what EvoLink has reserved for it; ``None`` if nothing. The highest price of a class counts.
        """
        if self.is_limited:
            self._expected.settle(price_class, price)

    @property
    def _expected(self) -> ExpectedPrices:
        return ExpectedPrices(self.prices, self.pending)

    def _limit(self) -> float:
        limits = (self.limit, None if self.minimum is None else self._account_limit)
        return min(limit for limit in limits if limit is not None)

    def _decide(self, price_class: str, left: float) -> Admission:
        if self._expected.is_price_awaited:
            return Admission.WAIT
        left -= self._expected.expected
        price = self.prices.get(price_class)
        if price is not None:
            return Admission.SEND if price <= left else Admission.WAIT
        # Nothing is known of it: there has to be room for the dearest row so far.
        has_room = not +self.pending and left > 0 and left >= max(self.prices.values(), default=0.0)
        return Admission.SEND_ALONE if has_room else Admission.WAIT
