# SPDX-License-Identifier: Apache-2.0
"""Credits: reserved when a generation is accepted, charged when it completes, released when it does not."""

from __future__ import annotations

_DECIMALS = 4


class InsufficientCreditsError(Exception):
    """The balance does not cover a reservation; nothing was reserved."""


class Account:
    """Credits of one account. Invariant: balance + reserved + charged = initial + deposits.

    :param initial: initial balance in credits.
    """

    def __init__(self, initial: float) -> None:
        self._balance = initial
        self._reservations: dict[str, float] = {}
        self._charged = 0.0
        self._released = 0.0

    @property
    def balance(self) -> float:
        """Credits available for new reservations."""
        return round(self._balance, _DECIMALS)

    @property
    def reserved(self) -> float:
        """Credits reserved for running generations."""
        return round(sum(self._reservations.values()), _DECIMALS)

    @property
    def charged(self) -> float:
        """Credits charged for completed generations."""
        return round(self._charged, _DECIMALS)

    @property
    def released(self) -> float:
        """Credits that were reserved and then returned to the balance."""
        return round(self._released, _DECIMALS)

    def deposit(self, amount: float) -> None:
        """Add credits to the balance.

        :param amount: credits; negative to remove some.
        """
        self._balance += amount

    def reserve(self, generation_id: str, amount: float) -> None:
        """Reserve credits for a generation.

        :param generation_id: id of the generation.
        :param amount: credits.
        :raises InsufficientCreditsError: the balance is smaller; nothing was reserved.
        """
        if amount > self.balance:
            raise InsufficientCreditsError
        self._balance -= amount
        self._reservations[generation_id] = amount

    def settle(self, generation_id: str, price: float) -> None:
        """Charge a terminal generation, and release the rest of its reservation; the charge may exceed it.

        :param generation_id: id of the generation.
        :param price: credits to charge; 0 if it did not complete.
        """
        reserved = self._reservations.pop(generation_id)
        self._charged += price
        self._released += max(reserved - price, 0.0)
        self._balance += reserved - price
