# SPDX-License-Identifier: Apache-2.0
"""What submissions are expected to cost before EvoLink states it, by what is known of earlier ones of their class."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXTS = frozenset({"prompt", "negative_prompt", "lyrics", "title", "text", "callback_url", "seed"})


@dataclass
class ExpectedPrices:
    """The prices of submissions whose response is missing.

    :param prices: credits expected of a submission, by price class.
    :param pending: submissions that are being sent, or whose response was lost, by price class.
    """

    prices: dict[str, float] = field(default_factory=dict)
    pending: Counter[str] = field(default_factory=Counter)

    @property
    def is_price_awaited(self) -> bool:
        """Whether a submission is pending whose price nobody knows."""
        return not (+self.pending).keys() <= self.prices.keys()

    @property
    def expected(self) -> float:
        """The credits expected of what is pending, as far as prices are known."""
        return sum(count * self.prices.get(name, 0.0) for name, count in (+self.pending).items())

    def settle(self, price_class: str, price: float | None) -> None:
        """Count a submission as no longer pending.

        :param price: what EvoLink has reserved for it; ``None`` if nothing. The highest price of a class counts.
        """
        self.pending[price_class] -= 1
        if price is not None:
            self.prices[price_class] = max(price, self.prices.get(price_class, 0.0))


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
