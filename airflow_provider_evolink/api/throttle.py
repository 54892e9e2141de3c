# SPDX-License-Identifier: Apache-2.0
"""
How fast one account may be asked: a token bucket whose rate falls when EvoLink says so, and recovers slowly.

EvoLink documents no numbers, only that there are limits and that 429 tells of them. Pure but for what it remembers:
the time comes in as an argument.
"""

from __future__ import annotations

FASTEST, SLOWEST = 1000.0, 0.5
_SMALLEST_BURST = 8
# Those who have to wait go together, as many as have a place by then: to wake up for each costs more than the request.
_TOGETHER_SECONDS = 0.05
_RECOVERY = 1.0
_ONE_FALL_SECONDS = 1.0
_ROUNDING = 1e-9


class Throttle:
    """
    Tells when the next one may go.

    :param fastest: how many a second, at most and at first.
    """

    def __init__(self, fastest: float = FASTEST) -> None:
        self.rate = self._fastest = fastest
        self._next = 0.0
        self._paused_until = 0.0
        self._fell_at = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next place, and return the seconds until it."""
        self._next = self._place(now)
        wait = max(self._next, self._paused_until) - now
        return max(wait, _TOGETHER_SECONDS) if wait > 0 else 0.0

    def admits(self, now: float) -> bool:
        """Take the next place if it is free now, and tell whether it was."""
        if self._place(now) > now + _ROUNDING:
            return False
        self.reserve(now)
        return True

    def _place(self, now: float) -> float:
        burst = max(_SMALLEST_BURST / self.rate, _TOGETHER_SECONDS)
        return max(self._next, now - burst) + 1.0 / self.rate

    def slow_down(self, now: float, retry_after: float | None) -> None:
        """After a 429: pause for everybody as long as EvoLink asks, and halve the rate, once for one crowd."""
        self._paused_until = max(self._paused_until, now + (retry_after or 0.0))
        if now - self._fell_at >= _ONE_FALL_SECONDS:
            self._fell_at = now
            self.rate = max(self.rate / 2, SLOWEST)

    def speed_up(self) -> None:
        """After an answer: one request a second more."""
        self.rate = min(self.rate + _RECOVERY, self._fastest)
