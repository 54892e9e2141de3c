# SPDX-License-Identifier: Apache-2.0
"""Credits: reserved when a generation is accepted, charged when it is delivered, released when it is not."""

from __future__ import annotations

_DECIMALS = 4


class InsufficientCreditsError(Exception):
    """The account cannot cover a reservation; nothing was reserved."""


class Account:
    """One account's credits. Nothing is ever lost: balance + reserved + charged = initial.

    :param initial: credits that it starts with.
    """

    def __init__(self, initial: float) -> None:
        self._balance = initial
        self._reservations: dict[str, float] = {}
        self._charged = 0.0
        self._released = 0.0

    @property
    def balance(self) -> float:
        """Credits that can still be reserved."""
        return round(self._balance, _DECIMALS)

    @property
    def reserved(self) -> float:
        """Credits held for generations that still run."""
        return round(sum(self._reservations.values()), _DECIMALS)

    @property
    def charged(self) -> float:
        """Credits paid for delivered generations."""
        return round(self._charged, _DECIMALS)

    @property
    def released(self) -> float:
        """Credits that were reserved and given back."""
        return round(self._released, _DECIMALS)

    def deposit(self, amount: float) -> None:
        """Top the account up.

        :param amount: credits; negative to take away.
        """
        self._balance += amount

    def reserve(self, generation_id: str, amount: float) -> None:
        """Hold credits for a generation.

        :param generation_id: whose.
        :param amount: credits.
        :raises InsufficientCreditsError: when the balance is smaller.
        """
        if amount > self.balance:
            raise InsufficientCreditsError
        self._balance -= amount
        self._reservations[generation_id] = amount

    def settle(self, generation_id: str, price: float) -> None:
        """Charge a finished generation, and give back the rest of what was held for it.

        :param generation_id: whose.
        :param price: what it costs after all; 0 if it was not delivered.
        """
        held = self._reservations.pop(generation_id)
        self._charged += price
        self._released += held - price
        self._balance += held - price
