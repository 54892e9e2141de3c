# SPDX-License-Identifier: Apache-2.0
"""
Whose turn it is: of all that are due, whoever was asked about longest ago.

Where questions are rationed more are due than can be asked about. Nobody starves then: each has its turn before anybody
has two, however close together some plans would have theirs. Pure: the time comes in as an argument.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Generic, Protocol, TypeVar

from airflow_provider_evolink.polling.timing_wheel import TimingWheel


class Queued(Protocol):
    """Who waits for a turn."""

    @property
    def rank(self) -> float:
        """The lower, the sooner its turn."""

    @property
    def needs_own_request(self) -> bool:
        """Whether it can't share a request."""


T = TypeVar("T", bound=Queued)


class DueQueue(Generic[T]):
    """Holds those that wait, until it is their turn."""

    def __init__(self) -> None:
        self._later: TimingWheel[T] = TimingWheel()
        self._due: list[tuple[float, int, T]] = []
        self._alone: list[tuple[float, int, T]] = []
        # Makes entries differ, and keeps the order of those with the same rank.
        self._number = itertools.count()

    def add(self, item: T, due: float) -> bool:
        """Hold an item until it is due; tell whether that is the first of all."""
        return self._later.add(item, due)

    def add_now(self, item: T) -> None:
        """Hold an item that is due."""
        heapq.heappush(self._alone if item.needs_own_request else self._due, (item.rank, next(self._number), item))

    def next_due(self) -> float:
        """Return the moment at which the first is due, which may have passed; infinite if there is none."""
        return -math.inf if self._due or self._alone else self._later.next_due()

    def count_due(self, now: float) -> int:
        """Return how many are due."""
        for item in self._later.pop_due(now, None):
            self.add_now(item)
        return len(self._due) + len(self._alone)

    def pop_due(self, now: float, limit: int, ahead: float = 0.0) -> list[T]:
        """
        Take those whose turn it is.

        :param most: how many, at most.
        :param ahead: where they are fewer, those that become due within so many seconds come along.
        """
        self.count_due(now)
        if self._alone and not (self._due and self._due[0] < self._alone[0]):
            return [heapq.heappop(self._alone)[2]]
        taken = [heapq.heappop(self._due)[2] for _ in range(min(limit, len(self._due)))]
        return taken + self._later.pop_due(now + ahead, limit - len(taken)) if ahead else taken
