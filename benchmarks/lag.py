# SPDX-License-Identifier: Apache-2.0
"""How long an event loop keeps callbacks waiting, measured without waking it.

A ticker costs more CPU than what is measured here, so the selector keeps the time instead: from the end of one
``select`` to the start of the next the loop is busy, and a callback that becomes due meanwhile waits for the end of
that spell. Each spell is measured twice: by the clock, and as the loop's own work, which is CPU time without that of
Python's collector. The latter leaves out other processes on the core, and the third of a second that the collector
takes now and then to walk everything that Airflow has imported, however idle the triggers are.
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
    """A selector that records the busy spells of its loop."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.own = array("d"), array("d")
        self._since, self._cpu_since = time.perf_counter(), time.thread_time()
        self._collected = self._collection_started = 0.0
        gc.callbacks.append(self._on_collection)

    def reset(self) -> None:
        """Discard what was recorded so far."""
        self.busy, self.own = array("d"), array("d")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events on behalf of the loop."""
        self.busy.append(time.perf_counter() - self._since)
        self.own.append(max(time.thread_time() - self._cpu_since - self._collected, 0.0))
        self._collected = 0.0
        events = super().select(timeout)
        self._since, self._cpu_since = time.perf_counter(), time.thread_time()
        return events

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collection_started = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collection_started


def watched_loop(spells: Spells) -> asyncio.AbstractEventLoop:
    """Return an event loop on top of a recording selector."""
    loop: Any = asyncio.SelectorEventLoop(spells)
    return loop  # type: ignore[no-any-return]


def lag(busy: Sequence[float], seconds: float, share: float) -> float:
    """Return the lag of a callback that becomes due at a random moment, exceeded with a given probability only.

    :param busy: the spells, in seconds.
    :param seconds: total observation time.
    :param share: the probability, such as 0.01.
    """
    low, high = 0.0, max(busy, default=0.0)
    for _ in range(40):
        middle = (low + high) / 2
        longer = sum(spell - middle for spell in busy if spell > middle)
        low, high = (middle, high) if longer > share * seconds else (low, middle)
    return high
