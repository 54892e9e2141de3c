"""A clock for those who would sleep."""

from __future__ import annotations

import time


class LeapingTime:
    """A clock that leaps where a worker would sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        """Leap."""
        self.slept.append(seconds)
