# SPDX-License-Identifier: Apache-2.0
"""How far a batch is, in numbers and in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Counts:
    """How far the rows of a batch are.

    :param total: rows of the table.
    :param under_way: those that are being generated.
    :param ended: those that are completed and about to be landed.
    :param landed: those whose video is in its place.
    :param failed: those whose generation has failed.
    """

    total: int
    under_way: int = 0
    ended: int = 0
    landed: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """The rows that need nothing more."""
        return self.landed + self.failed

    @property
    def percent(self) -> float:
        """How much is done, from 0 to 100."""
        return 100 * self.done / self.total

    def __str__(self) -> str:
        """Describe them in one line."""
        to_land = f"{self.ended} to land, " if self.ended else ""
        return f"{self.landed} landed, {to_land}{self.under_way} under way, {self.failed} failed"


def pace(counts: Counts, seconds: float, now: float) -> str:
    """Return how fast the rows get done, and when the last is expected.

    :param seconds: since the first row was submitted.
    :param now: seconds since the epoch.
    :return: empty as long as none is done, and once all are.
    """
    left = counts.total - counts.done
    if not counts.done or not left or seconds <= 0:
        return ""
    rate = counts.done / seconds
    return f"{60 * rate:.0f} a minute, the last about {datetime.fromtimestamp(now + left / rate).astimezone():%H:%M:%S}"
