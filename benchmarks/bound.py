# SPDX-License-Identifier: Apache-2.0
"""
The least that waiting can cost when it is known how long jobs take, computed apart from the product.

A question costs as much as so many seconds for which a finished job lies unnoticed. Among a finite number of equally
likely durations the best moments to ask are durations themselves, since asking between two of them is worse than asking
at the lower one; so a search over those, from the longest backwards, finds the optimum.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

PRICE = 1.0


@dataclass(frozen=True, slots=True)
class Spent:
    """
    What waiting has cost, on average.

    :param requests: for each job.
    :param delay: seconds from a job's end to the question that notices it.
    """

    requests: float
    delay: float

    @property
    def product(self) -> float:
        """Requests times delay: halving the one by doubling the other is no gain."""
        return self.requests * self.delay


def spent(ages: Sequence[float], durations: Sequence[float]) -> Spent:
    """
    What it costs to ask at certain ages.

    :param ages: rising, the last one not before the longest duration.
    """
    asked = [bisect_left(ages, duration) for duration in durations]
    count = len(durations)
    delays = sum(ages[index] - duration for index, duration in zip(asked, durations, strict=True))
    return Spent(sum(index + 1 for index in asked) / count, delays / count)


def bound(durations: Sequence[float], price: float = PRICE, floor: float = 0.0) -> Spent:
    """What the best plan costs for equally likely durations; a few hundred of them do for any distribution."""
    return spent(best_ages(durations, price, floor), durations)


def best_ages(durations: Sequence[float], price: float = PRICE, floor: float = 0.0) -> list[float]:
    """
    The ages at which asking costs least: questions times price plus delay.

    :param floor: seconds that must lie between two questions.
    """
    ages = sorted(durations)
    count = len(ages)
    sums = [0.0, *itertools.accumulate(ages)]
    cost, following = [0.0] * (count + 1), [count] * (count + 1)
    # cost[k]: of all that is yet to come for the jobs from k on, when a question has just found them unfinished.
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
