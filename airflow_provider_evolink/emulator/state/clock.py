# SPDX-License-Identifier: Apache-2.0
"""Emulated time: it may run faster than real time, and can be moved forward."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Count emulated seconds.

    :param speed: emulated seconds per real second.
    :param monotonic: returns real seconds.
    """

    def __init__(self, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._elapsed = 0.0
        self._speed = speed

    @property
    def speed(self) -> float:
        """Emulated seconds per real second."""
        return self._speed

    def now(self) -> float:
        """Return the emulated seconds since the start; never decreases."""
        return self._elapsed + (self._monotonic() - self._since) * self._speed

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on; elapsed time is kept.

        :param speed: emulated seconds per real second.
        """
        self._elapsed, self._since = self.now(), self._monotonic()
        self._speed = speed

    def advance(self, seconds: float) -> None:
        """Move emulated time forward at once.

        :param seconds: emulated seconds.
        """
        self._elapsed += seconds

    def real_seconds_since(self, moment: float) -> float:
        """Return the real seconds since a moment, at the present speed.

        :param moment: emulated seconds since the start.
        """
        return (self.now() - moment) / self._speed
