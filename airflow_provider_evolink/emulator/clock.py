# SPDX-License-Identifier: Apache-2.0
"""The emulator's time: it runs faster than the wall's, and can be pushed forward."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Counts emulated seconds.

    :param factor: emulated seconds that pass in one second.
    :param monotonic: the seconds it is driven by.
    """

    def __init__(self, factor: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._passed = 0.0
        self._factor = factor

    @property
    def factor(self) -> float:
        """Emulated seconds that pass in one second."""
        return self._factor

    def now(self) -> float:
        """Return the emulated seconds since the start; never goes back."""
        return self._passed + (self._monotonic() - self._since) * self._factor

    def run_at(self, factor: float) -> None:
        """Change the pace from now on; what has passed stays passed.

        :param factor: emulated seconds that pass in one second.
        """
        self._passed, self._since = self.now(), self._monotonic()
        self._factor = factor

    def advance(self, seconds: float) -> None:
        """Let emulated time pass at once.

        :param seconds: emulated seconds.
        """
        self._passed += seconds

    def ago(self, moment: float) -> float:
        """Return how many real seconds ago a moment was, at the present pace.

        :param moment: emulated seconds since the start.
        """
        return (self.now() - moment) / self._factor
