# SPDX-License-Identifier: Apache-2.0
"""The lower bound on the cost of waiting for jobs of known durations, computed independently of the provider.

A poll costs as much as a certain number of seconds during which a finished job goes unnoticed. Among a finite number of
equally likely durations the best moments to poll are the durations themselves, since polling between two of them is
worse than polling at the lower one. So dynamic programming over the durations, from the longest backwards, finds the
optimum.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

PRICE = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """The average cost of waiting.

    :param requests: polls per job.
    :param delay: seconds from a job's end to the poll that notices it.
    """

    requests: float
    delay: float

    @property
    def product(self) -> float:
        """Requests times delay: halving either by doubling the other gains nothing."""
        return self.requests * self.delay


def cost_of(ages: Sequence[float], durations: Sequence[float]) -> Cost:
    """Return the cost of polling at certain ages.

    :param ages: ascending seconds since a job's start; the last is not below the longest duration.
    :param durations: seconds, all equally likely.
    """
    polls = [bisect_left(ages, duration) for duration in durations]
    count = len(durations)
    delays = sum(ages[index] - duration for index, duration in zip(polls, durations, strict=True))
    return Cost(sum(index + 1 for index in polls) / count, delays / count)


def bound(durations: Sequence[float], price: float = PRICE, floor: float = 0.0) -> Cost:
    """Return the cost of the best plan for equally likely durations; a few hundred represent any distribution."""
    return cost_of(best_ages(durations, price, floor), durations)


def best_ages(durations: Sequence[float], price: float = PRICE, floor: float = 0.0) -> list[float]:
    """Return the ages at which polling minimizes polls times price plus delay.

    :param durations: seconds, all equally likely.
    :param price: seconds of delay that a poll is worth.
    :param floor: minimum seconds between two polls.
    """
    ages = sorted(durations)
    count = len(ages)
    sums = [0.0, *itertools.accumulate(ages)]
    cost, following = [0.0] * (count + 1), [count] * (count + 1)
    # cost[k]: future cost of the jobs from k on, when a poll has just found them unfinished.
    for first in range(count - 1, -1, -1):
        earliest = ages[first - 1] + floor if first else 0.0
        cost[first], following[first] = min(
            (
                price * (count - first)
                + max(ages[last], earliest) * (last + 1 - first)
                - (sums[last + 1] - sums[first])
                + cost[last + 1],
                last + 1,
            )
            for last in range(first, count)
            if ages[last] >= earliest or last == count - 1
        )
    return _path(ages, following, floor)


def _path(ages: Sequence[float], following: Sequence[int], floor: float) -> list[float]:
    chosen: list[float] = []
    first = 0
    while first < len(ages):
        earliest = chosen[-1] + floor if chosen else 0.0
        first = following[first]
        chosen.append(max(ages[first - 1], earliest))
    return chosen
