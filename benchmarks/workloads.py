# SPDX-License-Identifier: Apache-2.0
"""How long generations take, in the models that the simulation has of it."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Draw = Callable[[random.Random], float]


@dataclass(frozen=True, slots=True)
class Workload:
    """
    A kind of generation.

    :param title: for tables.
    :param median: seconds; what an honest estimate says.
    :param quantile: the duration below which a share of all are.
    """

    title: str
    median: float
    quantile: Callable[[float], float]

    def draw(self, chance: random.Random) -> float:
        """Return a random duration."""
        return self.quantile(chance.uniform(1e-6, 1 - 1e-6))

    def stratified(self, count: int) -> Sequence[float]:
        """Return durations that stand for the whole distribution."""
        return [self.quantile((index + 0.5) / count) for index in range(count)]


def log_normal(title: str, median: float, sigma: float) -> Workload:
    """Durations whose logarithm is normal, as those of queues and of renderers mostly are."""
    normal = statistics.NormalDist(math.log(median), sigma)
    return Workload(title, median, lambda share: math.exp(normal.inv_cdf(share)))


def uniform(title: str, low: float, high: float) -> Workload:
    """Durations between two, as the emulator has them."""
    return Workload(title, (low + high) / 2, lambda share: low + (high - low) * share)


VIDEO = log_normal("video, median 90 s, sigma 0.25", 90.0, 0.25)
WORKLOADS = (
    VIDEO,
    log_normal("video, median 90 s, sigma 0.6", 90.0, 0.6),
    log_normal("image, median 12 s, sigma 0.4", 12.0, 0.4),
    log_normal("long video, median 300 s, sigma 0.25", 300.0, 0.25),
)
