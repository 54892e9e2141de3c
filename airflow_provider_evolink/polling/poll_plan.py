# SPDX-License-Identifier: Apache-2.0
"""Plan the ages at which to poll a generation, learned from how long the model's earlier ones took.

Pure. A poll has a cost (:data:`POLL_COST`, in seconds of delay), and so has each second for which a finished generation
goes unnoticed. Durations are modeled as a log-normal mixture, by a kernel density estimate; the ages of least expected
cost follow by dynamic programming over its distribution function. A generation that had finished by its first poll is a
left-censored observation, which expectation-maximization on censored data places where the others make it likely.
Before anything is known EvoLink's estimate stands in, trusted to within a factor of two.

Nothing learned is trusted forever. A model that gets faster is noticed because no gap between polls is much longer than
its fastest recent generation took; one that gets slower, or a queue that stalls, because polling goes on beyond the
plan, with gaps of a twelfth of the age. Nor is any claim trusted for more than two minutes: no gap is longer, and
beyond an estimate that was too short, gaps grow as fast as is best where nothing is known.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, takewhile

# Seconds between two polls of a generation: at least FLOOR; at most CAP where no plan justifies a longer gap.
FLOOR = 3.0
CAP = 30.0
# No claim may cost more than two minutes of delay; what is left of them is for jitter, slots and the request itself.
MAX_GAP = 117.0
# One poll costs as much as this many seconds for which a result goes unnoticed: a little less than would balance the
# two, since the two minutes make the plans for slow models poll earlier than is cheapest.
POLL_COST = 0.7
# Durations remembered for each model, and how many of them replace the guess.
HISTORY_SIZE = 50
_MIN_SAMPLES = 5
# The prior where there is neither history nor estimate: median in seconds, standard deviation of the logarithm.
_PRIOR_MEDIAN, _PRIOR_SIGMA = 60.0, 0.8
# EvoLink's estimate: standard deviation of the logarithm of its error, weight as a number of durations, and the number
# of durations from which it is ignored.
_ESTIMATE_SIGMA, _ESTIMATE_WEIGHT, _ESTIMATE_IGNORED_FROM = 0.43, 2.0, 10
_MIN_SIGMA = 0.02
# The resolution of the distribution, the number of kernels, and how many standard deviations of each are covered.
_GRID_STEPS, _MAX_KERNELS, _TAIL_SIGMAS = 160, 17, 2.6
# Beyond the plan, the gap is this share of the age.
_TAIL_GAP_PER_AGE = 1 / 12
# Where nothing is known, gaps of this multiple of the square root of the age cost least for any duration: the chance of
# finishing in the next second falls as the age grows, and the best gap varies inversely with its square root.
_TAIL_GAP_PER_SQRT_AGE = 2.2
# A generation that takes longer than this multiple of the guess shows that nothing is known.
_GUESS_HORIZON = 1.8
# The longest gap: this share of the guess, or this multiple of the fastest recent duration.
_GAP_PER_GUESS, _GAP_PER_FASTEST = 0.6, 1.15
# A generation that had finished by its first poll took about this share of its age then, until others show more.
_CENSORED_SHARE = 0.9
# After this many of them in a row the model has become faster: they took this share.
_SPEEDUP_RUN, _SPEEDUP_SHARE = 10, 0.6
_EM_ITERATIONS = 8
_MIN_DURATION = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """When to poll.

    :param ages: ages of the generation in seconds, ascending.
    :param max_gap: seconds between two polls, at most.
    :param is_guess: whether there are too few durations to believe that none is longer than the last age.
    """

    ages: tuple[float, ...]
    max_gap: float
    is_guess: bool = False

    def next_age(self, age: float) -> float:
        """Return the age at which to poll after a poll at ``age`` that found the generation unfinished."""
        earliest = age + FLOOR
        index = bisect_left(self.ages, age + FLOOR / 2)
        planned = self.ages[index] if index < len(self.ages) else age + self._tail_gap(age)
        return min(max(planned, earliest), max(age + self.max_gap, earliest))

    def _tail_gap(self, age: float) -> float:
        return _TAIL_GAP_PER_SQRT_AGE * math.sqrt(age) if self.is_guess else min(_TAIL_GAP_PER_AGE * age, CAP)


# For generations polled at a fixed interval, which need no plan: computing one takes a millisecond.
UNPLANNED = Plan((), CAP)


def plan(durations: Sequence[float], estimated_time: float | None) -> Plan:
    """Plan the polls of a generation.

    :param durations: seconds that the model's recent generations took, in any order.
    :param estimated_time: EvoLink's estimate in seconds, if it gave one; it may be wrong.
    """
    is_guess = len(durations) < _MIN_SAMPLES
    guess = estimated_time or _PRIOR_MEDIAN
    gap = _GAP_PER_GUESS * guess if is_guess else _GAP_PER_FASTEST * min(durations)
    horizon = _GUESS_HORIZON * max(guess, *durations, 0.0) if is_guess else math.inf
    ages = takewhile(lambda age: age <= horizon, _optimal_ages(*_distribution(_mixture(durations, estimated_time))))
    return Plan(tuple(ages), min(max(CAP, gap), MAX_GAP), is_guess)


@dataclass(frozen=True, slots=True)
class ObservedDuration:
    """How long a generation took.

    :param seconds: the duration.
    :param at_most: whether it is only an upper bound, since the generation had finished by its first poll.
    """

    seconds: float
    at_most: bool = False


class Durations:
    """The recent durations of each model, and the plans that follow from them.

    A plan costs a millisecond, so it is only renewed once enough has been learned to change it.
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[ObservedDuration]] = {}
        self._counts: dict[str, int] = {}
        self._censored_runs: dict[str, int] = {}
        self._samples: dict[str, tuple[float, ...]] = {}

    def learn(self, model: str, observed: ObservedDuration) -> None:
        """Remember how long a generation took."""
        self._censored_runs[model] = self._censored_runs.get(model, 0) + 1 if observed.at_most else 0
        if self._censored_runs[model] >= _SPEEDUP_RUN:
            observed = ObservedDuration(observed.seconds * _SPEEDUP_SHARE)
        recent = self._recent.setdefault(model, deque(maxlen=HISTORY_SIZE))
        recent.append(observed)
        self._counts[model] = self._counts.get(model, 0) + 1
        if _is_replan_due(self._counts[model]):
            self._samples[model] = tuple(sorted(_impute_censored(recent)))

    def plan(self, model: str | None, estimated_time: float | None) -> Plan:
        """Return the plan for a generation of a model."""
        samples = self._samples.get(model or "", ())
        # With enough samples the estimate no longer counts, so the plan is shared.
        return _cached_plan(samples, None if len(samples) >= _ESTIMATE_IGNORED_FROM else _rounded(estimated_time))


_cached_plan = lru_cache(maxsize=512)(plan)


def _is_replan_due(count: int) -> bool:
    return count <= 3 or count in {5, 8, 12, 16, 50} or count % 20 == 0


def _rounded(seconds: float | None) -> float | None:
    """Round an estimate to two significant digits, which are enough, and keep the number of plans small."""
    return float(f"{seconds:.2g}") if seconds is not None and 0 < seconds < 1e6 else None


def _impute_censored(observations: Sequence[ObservedDuration]) -> list[float]:
    """Return the durations, with upper bounds replaced by expected values: EM for a log-normal distribution."""
    uppers = [math.log(max(observed.seconds, _MIN_DURATION)) for observed in observations]
    bounds = {index: uppers[index] for index, observed in enumerate(observations) if observed.at_most}
    logs = [math.log(max(o.seconds * (_CENSORED_SHARE if o.at_most else 1.0), _MIN_DURATION)) for o in observations]
    sigma = max(math.sqrt(_variance(logs)), _MIN_SIGMA)
    for _ in range(_EM_ITERATIONS if len(bounds) < len(logs) else 0):
        mean, censored_variance = statistics.fmean(logs), 0.0
        for index, bound in bounds.items():
            z = (bound - mean) / sigma
            ratio = _inverse_mills_ratio(z)
            logs[index] = mean - sigma * ratio
            censored_variance += max(1.0 - ratio * (z + ratio), 0.0)
        variance = _variance(logs) + sigma**2 * censored_variance / len(logs)
        sigma = max(math.sqrt(variance), _MIN_SIGMA)
    return [math.exp(log) for log in logs]


def _variance(values: Sequence[float]) -> float:
    """Return the population variance; that of :mod:`statistics` computes with exact fractions, which takes long."""
    mean = statistics.fmean(values)
    return statistics.fmean([(value - mean) ** 2 for value in values])


def _inverse_mills_ratio(z: float) -> float:
    """Return how many standard deviations the mean of a normal variable drops if it is known to be below ``z``."""
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / _normal_cdf(z)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


# Normal components of the logarithm of a duration: mean, standard deviation, weight.
Mixture = list[tuple[float, float, float]]


def _mixture(durations: Sequence[float], estimated_time: float | None) -> Mixture:
    """Return the kernel density estimate of the durations, with EvoLink's estimate or the prior mixed in."""
    logs = [math.log(seconds) for seconds in durations]
    bandwidth = _bandwidth(logs) if logs else 0.0
    parts = [(mean, bandwidth, weight) for mean, weight in _merge_kernels(_shrink_to_mean(sorted(logs), bandwidth))]
    estimate_weight = _ESTIMATE_WEIGHT * (1.0 - len(logs) / _ESTIMATE_IGNORED_FROM)
    if estimated_time and estimate_weight > 0:
        parts.append((math.log(estimated_time), _ESTIMATE_SIGMA, estimate_weight))
    if not parts:
        parts = [(math.log(_PRIOR_MEDIAN), _PRIOR_SIGMA, 1.0)]
    total = sum(weight for _, _, weight in parts)
    return [(mean, sigma, weight / total) for mean, sigma, weight in parts]


def _bandwidth(logs: Sequence[float]) -> float:
    """Return the kernels' standard deviation by Silverman's rule, wider while there are few samples."""
    sigma = max(math.sqrt(_variance(logs)), 0.05) if len(logs) > 1 else _ESTIMATE_SIGMA
    small_sample_width = _ESTIMATE_SIGMA / (len(logs) + 2)
    return max(1.06 * sigma / math.pow(len(logs), 0.2), small_sample_width, _MIN_SIGMA)


def _shrink_to_mean(logs: Sequence[float], bandwidth: float) -> Sequence[float]:
    """Shrink samples to their mean, so that the kernels do not inflate the variance."""
    if len(logs) < _MIN_SAMPLES:
        return logs
    sigma, mean = math.sqrt(_variance(logs)), statistics.fmean(logs)
    factor: float = math.sqrt(max(1.0 - (bandwidth / max(sigma, 1e-9)) ** 2, 0.09))
    return [mean + factor * (log - mean) for log in logs]


def _merge_kernels(logs: Sequence[float]) -> list[tuple[float, float]]:
    """Merge neighbors, which differ by less than the bandwidth, into means and weights: few kernels are fast."""
    size = math.ceil(len(logs) / _MAX_KERNELS)
    groups = [logs[start : start + size] for start in range(0, len(logs), size or 1)]
    return [(statistics.fmean(group), float(len(group))) for group in groups]


def _distribution(mixture: Mixture) -> tuple[list[float], list[float], list[float]]:
    """Return ages, the probability of having finished by each, and the partial expectation of the duration up to it."""
    low = min(mean - _TAIL_SIGMAS * sigma for mean, sigma, _ in mixture)
    step = (max(mean + _TAIL_SIGMAS * sigma for mean, sigma, _ in mixture) - low) / _GRID_STEPS
    grid = [low + number * step for number in range(_GRID_STEPS + 1)]
    ages = [0.0, *map(math.exp, grid)]
    cdf = [0.0] + [sum(w * _normal_cdf((log - mean) / sigma) for mean, sigma, w in mixture) for log in grid]
    expectation = [0.0]
    for (age, probability), (next_age, next_probability) in pairwise(zip(ages, cdf, strict=True)):
        expectation.append(expectation[-1] + (next_probability - probability) * (age + next_age) / 2)
    return ages, cdf, expectation


def _optimal_ages(ages: list[float], cdf: list[float], expectation: list[float]) -> list[float]:
    """Return the ages of polls with the least expected cost of polls and delay, by backward induction."""
    last = len(ages) - 1
    costs, successors = [0.0] * (last + 1), [last] * (last + 1)
    for start in range(last - 1, -1, -1):
        costs[start], successors[start] = min(_step_costs(start, ages, cdf, expectation, costs))
    chosen, position = [], 0
    while position < last:
        position = successors[position]
        chosen.append(ages[position])
    return chosen


def _step_costs(
    start: int, ages: list[float], cdf: list[float], expectation: list[float], costs: list[float]
) -> list[tuple[float, int]]:
    """Return the cost of polling next at each later age, up to where the delay alone exceeds the lowest cost."""
    last, poll_cost = len(ages) - 1, POLL_COST * (1.0 - cdf[start])
    found: list[tuple[float, int]] = []
    lowest = math.inf
    for end in range(start + 1, last + 1):
        if ages[end] - ages[start] < FLOOR and end < last:
            continue
        delay = ages[end] * (cdf[end] - cdf[start]) - (expectation[end] - expectation[start])
        found.append((poll_cost + delay + costs[end], end))
        lowest = min(lowest, found[-1][0])
        if delay > lowest:
            break
    return found
