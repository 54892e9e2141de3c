# SPDX-License-Identifier: Apache-2.0
"""Keep what a batch spends within ``max_credits``, and ``min_credits_left`` on the account. Pure but for its own state.

EvoLink states the price of a generation in its response, not before. So rows are put into price classes: requests
of one model whose parameters agree, texts and media left out. The first row of a class is sent alone; what it reserves
is expected of the others. A row counts with that price from the moment it is sent, so that concurrent sends and lost
responses can't pass the limit together. Only the first row of all, whose price nobody knows, could.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_evolink.api.errors import CreditsBelowMinimumError, EvoLinkError
from airflow_provider_evolink.batch.errors import no_room

_TEXTS = frozenset({"prompt", "negative_prompt", "lyrics", "title", "text", "callback_url", "seed"})


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
        if not self.is_limited:
            return
        self.pending[price_class] -= 1
        if price is not None:
            self.prices[price_class] = max(price, self.prices.get(price_class, 0.0))

    def _limit(self) -> float:
        limits = (self.limit, None if self.minimum is None else self._account_limit)
        return min(limit for limit in limits if limit is not None)

    def _decide(self, price_class: str, left: float) -> Admission:
        pending = +self.pending
        if not pending.keys() <= self.prices.keys():
            return Admission.WAIT
        left -= sum(count * self.prices[name] for name, count in pending.items())
        price = self.prices.get(price_class)
        if price is not None:
            return Admission.SEND if price <= left else Admission.WAIT
        # Nothing is known of it: there has to be room for the dearest row so far.
        has_room = not pending and left > 0 and left >= max(self.prices.values(), default=0.0)
        return Admission.SEND_ALONE if has_room else Admission.WAIT


def price_class(body: bytes) -> str:
    """Return a digest of what a request's price can depend on: everything but its texts and media.

    :param body: the request as JSON.
    """
    parameters = json.loads(body)
    priced = {name: _shape(value) for name, value in parameters.items() if name not in _TEXTS}
    return hashlib.blake2b(json.dumps(priced, sort_keys=True).encode(), digest_size=6).hexdigest()


def _shape(value: Any) -> Any:
    """Return a value without texts and media, of which only the number can matter."""
    if isinstance(value, str):
        return value if len(value) <= 32 and "/" not in value else "text"
    if isinstance(value, list):
        return [_shape(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _shape(item) for name, item in value.items()}
    return value
