# SPDX-License-Identifier: Apache-2.0
"""A timing wheel: items due at nearly the same time share a slot, and wake the event loop once.

The slots that are in use are kept in a heap, so there is no fixed horizon. Pure: the time comes in as an argument.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections import deque
from typing import Generic, TypeVar

SLOT_SECONDS = 0.25

T = TypeVar("T")


class TimingWheel(Generic[T]):
    """Hold items until they are due."""

    def __init__(self) -> None:
        self._slots: dict[int, deque[T]] = {}
        self._order: list[int] = []

    def add(self, item: T, due: float) -> bool:
        """Hold an item until the end of the slot in which it is due; return whether that slot is now the first."""
        number = math.ceil(due / SLOT_SECONDS)
        if number in self._slots:
            self._slots[number].append(item)
            return False
        self._slots[number] = deque((item,))
        heapq.heappush(self._order, number)
        return self._order[0] == number

    def next_due(self) -> float:
        """Return the time at which the first items are due; infinity if there are none."""
        return self._order[0] * SLOT_SECONDS if self._order else math.inf

    def pop_due(self, now: float, limit: int | None) -> list[T]:
        """Remove and return at most ``limit`` due items, the longest due first; ``None`` = all."""
        popped: list[T] = []
        limit = sys.maxsize if limit is None else limit
        while len(popped) < limit and self.next_due() <= now:
            slot = self._slots[self._order[0]]
            while slot and len(popped) < limit:
                popped.append(slot.popleft())
            if not slot:
                del self._slots[heapq.heappop(self._order)]
        return popped
