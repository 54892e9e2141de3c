# SPDX-License-Identifier: Apache-2.0
"""Models of how long generations take, for the simulation."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of generation.

    :param title: for tables.
    :param median: seconds; what an honest estimate would be.
    :param quantile: returns the duration that a given share of all stay below.
    """

    title: str
    median: float
    quantile: Callable[[float], float]

    def draw(self, rng: random.Random) -> float:
        """Return a random duration."""
        return self.quantile(rng.uniform(1e-6, 1 - 1e-6))

    def stratified(self, count: int) -> Sequence[float]:
        """Return durations that represent the whole distribution."""
        return [self.quantile((index + 0.5) / count) for index in range(count)]


def log_normal(title: str, median: float, sigma: float) -> Workload:
    """Return durations whose logarithm is normally distributed, as those of queues and renderers mostly are."""
    normal = statistics.NormalDist(math.log(median), sigma)
    return Workload(title, median, lambda share: math.exp(normal.inv_cdf(share)))


def uniform(title: str, low: float, high: float) -> Workload:
    """Return uniformly distributed durations, as the emulator has them."""
    return Workload(title, (low + high) / 2, lambda share: low + (high - low) * share)


VIDEO = log_normal("video, median 90 s, sigma 0.25", 90.0, 0.25)
WORKLOADS = (
    VIDEO,
    log_normal("video, median 90 s, sigma 0.6", 90.0, 0.6),
    log_normal("image, median 12 s, sigma 0.4", 12.0, 0.4),
    log_normal("long video, median 300 s, sigma 0.25", 300.0, 0.25),
)
