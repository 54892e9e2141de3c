# SPDX-License-Identifier: Apache-2.0
"""
How long an event loop keeps others waiting, measured without waking it.

A ticker costs more CPU than what is measured here, so the selector keeps the time instead: what lies between the end
of one ``select`` and the start of the next is a busy spell, and whoever becomes due within a spell waits for its end.
Each spell is measured twice: by the clock; and as its own work, which is CPU time without that of Python's collector.
That leaves out who else had the core meanwhile, and the third of a second which the collector takes now and then to
walk all that Airflow has imported, however idle the triggers are.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from array import array
from collections.abc import Sequence
from typing import Any


class Spells(selectors.DefaultSelector):
    """A selector that remembers for how long the loop was busy."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.own = array("d"), array("d")
        self._since, self._cpu_since = time.perf_counter(), time.thread_time()
        self._collected = self._collecting_since = 0.0
        gc.callbacks.append(self._collecting)

    def forget(self) -> None:
        """Start anew: what came before does not count."""
        self.busy, self.own = array("d"), array("d")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, as the loop wants it."""
        self.busy.append(time.perf_counter() - self._since)
        self.own.append(max(time.thread_time() - self._cpu_since - self._collected, 0.0))
        self._collected = 0.0
        events = super().select(timeout)
        self._since, self._cpu_since = time.perf_counter(), time.thread_time()
        return events

    def _collecting(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting_since


def watched_loop(spells: Spells) -> asyncio.AbstractEventLoop:
    """Make the event loop that a selector watches."""
    loop: Any = asyncio.SelectorEventLoop(spells)
    return loop  # type: ignore[no-any-return]


def lag(busy: Sequence[float], seconds: float, share: float) -> float:
    """
    How long those have to wait who become due at a random moment, in all but a share of the cases.

    :param busy: the spells, in seconds.
    :param seconds: that were watched in all.
    :param share: such as 0.01.
    """
    low, high = 0.0, max(busy, default=0.0)
    for _ in range(40):
        middle = (low + high) / 2
        longer = sum(spell - middle for spell in busy if spell > middle)
        low, high = (middle, high) if longer > share * seconds else (low, middle)
    return high
