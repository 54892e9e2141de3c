# SPDX-License-Identifier: Apache-2.0
"""A fake clock for code that sleeps."""

from __future__ import annotations

import time


class LeapingTime:
    """A clock that jumps ahead instead of sleeping; ``slept`` lists the jumps in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        """Jump ahead."""
        self.slept.append(seconds)
