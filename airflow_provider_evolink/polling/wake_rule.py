# SPDX-License-Identifier: Apache-2.0
"""Decide when enough of many generations have ended to be worth a worker's start.

A worker costs a process, so it is not started for every generation that ends; and a result's link lives for a day, so
an ended generation does not wait for long either. Pure: the time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WakeRule:
    """When a worker is woken, besides when nothing is left to wait for.

    :param at_least: ended generations that are worth a worker's start, 1 or more.
    :param longest_wait: seconds for which an ended generation may wait to be landed, 600 by default.
    """

    at_least: int
    longest_wait: float = 600.0

    def enough(self, watched: int) -> int:
        """Return how many of those that can end have to."""
        return min(max(self.at_least, 1), watched)


def should_wake(rule: WakeRule, *, ended: int, watched: int, oldest_ended_at: float | None, now: float) -> bool:
    """Return whether a worker is worth its start.

    :param ended: how many generations have ended.
    :param watched: how many can end at all, those included.
    :param oldest_ended_at: when the first of them ended; ``None`` = none has.
    :param now: on the clock of ``oldest_ended_at``, in seconds.
    """
    is_overdue = seconds_until_wake(rule, oldest_ended_at=oldest_ended_at, now=now) == 0
    return ended >= rule.enough(watched) or is_overdue


def seconds_until_wake(rule: WakeRule, *, oldest_ended_at: float | None, now: float) -> float | None:
    """Return the seconds after which a worker is woken even if no other generation ends; ``None`` if it is not.

    :param oldest_ended_at: when the first generation ended; ``None`` = none has.
    :param now: on the same clock, in seconds.
    """
    return None if oldest_ended_at is None else max(oldest_ended_at + rule.longest_wait - now, 0.0)
