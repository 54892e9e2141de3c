# SPDX-License-Identifier: Apache-2.0
"""A priority queue of everything that is due: the generation polled longest ago comes first.

Under a rate limit more is due than can be polled. Nothing starves then: every generation is polled once before any is
polled twice, however closely the polls of some are planned. Pure: the time comes in as an argument.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Generic, Protocol, TypeVar

from airflow_provider_evolink.polling.timing_wheel import TimingWheel


class Queued(Protocol):
    """An item of the queue."""

    @property
    def rank(self) -> float:
        """The priority: the lowest rank comes first."""

    @property
    def needs_own_request(self) -> bool:
        """Whether the item can't share a request."""


T = TypeVar("T", bound=Queued)


class DueQueue(Generic[T]):
    """Hold items until they are due, then until it is their turn."""

    def __init__(self) -> None:
        self._later: TimingWheel[T] = TimingWheel()
        self._due: list[tuple[float, int, T]] = []
        self._due_alone: list[tuple[float, int, T]] = []
        # Breaks ties: items of the same rank keep their order, and are never compared with each other.
        self._number = itertools.count()

    def add(self, item: T, due: float) -> bool:
        """Hold an item until it is due; return whether it is now the first of those that are not due yet."""
        return self._later.add(item, due)

    def add_now(self, item: T) -> None:
        """Add an item that is due."""
        heap = self._due_alone if item.needs_own_request else self._due
        heapq.heappush(heap, (item.rank, next(self._number), item))

    def next_due(self) -> float:
        """Return the time at which the next item is due; minus infinity if one is due already, infinity if empty."""
        return -math.inf if self._due or self._due_alone else self._later.next_due()

    def count_due(self, now: float) -> int:
        """Return the number of items that are due."""
        for item in self._later.pop_due(now, None):
            self.add_now(item)
        return len(self._due) + len(self._due_alone)

    def pop_due(self, now: float, limit: int, ahead: float = 0.0) -> list[T]:
        """Remove and return the items for one request.

        :param limit: the maximum number of items.
        :param ahead: seconds; if fewer than ``limit`` are due, items due within this time fill up the request.
        """
        self.count_due(now)
        if self._due_alone and not (self._due and self._due[0] < self._due_alone[0]):
            return [heapq.heappop(self._due_alone)[2]]
        popped = [heapq.heappop(self._due)[2] for _ in range(min(limit, len(self._due)))]
        return popped + self._later.pop_due(now + ahead, limit - len(popped)) if ahead else popped
