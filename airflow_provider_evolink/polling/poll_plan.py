# SPDX-License-Identifier: Apache-2.0
"""
At which ages a generation is worth asking about, learned from how long the model's earlier ones took.

Pure. Each question has a price (``PRICE``, in seconds of delay), and so has each second for which a finished generation
lies unnoticed. With the durations of a model known, the ages that cost least follow by dynamic programming over the
chance that it has ended by then. Before anything is known EvoLink's estimate stands in, trusted within half and double.

Nothing learned is trusted for ever: a model that gets faster is noticed because no silence is longer than the fastest
of its last generations took; one that gets slower, or a queue that stalls, because questions go on beyond the plan,
each after a twelfth of the age. Nor is anything claimed believed for more than two minutes: no silence is longer, and
beyond an estimate that was too short the pauses grow as fast as is fit where nothing is known.
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

FLOOR = 3.0
CAP = 30.0
# No claim may cost more than two minutes of delay: what is left of them is for jitter, slots and the request itself.
LONGEST_GAP = 117.0
# One question costs as much as a result that lies unnoticed for so many seconds: a little less than what both weigh
# alike, since the two minutes make the plans for slow models ask earlier than is cheapest.
PRICE = 0.7
REMEMBERED = 50
_TRUSTED_FROM = 5
_UNKNOWN_SECONDS, _UNKNOWN_SPREAD = 60.0, 0.8
# How far off an estimate usually is, as the standard deviation of its logarithm, and how many durations outweigh it.
_ESTIMATE_SPREAD, _ESTIMATE_OUTWEIGHED = 0.43, 10
_ESTIMATE_WEIGHT = 2.0
_SMALLEST_SPREAD = 0.02
_GRID, _KERNELS = 160, 17
_REACH = 2.6
_BEYOND = 1 / 12
# Where nothing is known, pauses of so many times the square root of the age cost least for any duration: the chance to
# end in the next second falls as the age grows, and the best pause as the square root of that chance.
_GUESS_BEYOND = 2.2
# A generation that has taken so many times what was guessed shows that nothing is known.
_GUESS_REACH = 1.8
# What had ended at the first question took about this share of its age, before the others say more; and less if so many
# in a row had, since the model has got faster then.
_FOUND_AT_ONCE, _FASTER, _ROW = 0.9, 0.6, 10
_ROUNDS = 8
_SHORTEST = 0.5
# How much longer than the fastest of the last generations took may be silent.
_PATIENT = 1.15


@dataclass(frozen=True, slots=True)
class Plan:
    """
    When to ask.

    :param ages: of the generation, in seconds, rising.
    :param silence: seconds that no two questions are further apart.
    :param is_guess: whether too few generations are known to believe that nothing takes longer than the last age.
    """

    ages: tuple[float, ...]
    max_gap: float
    is_guess: bool = False

    def next_age(self, age: float) -> float:
        """Return the age at which to ask after a question at ``age``, which found it unfinished."""
        earliest = age + FLOOR
        index = bisect_left(self.ages, age + FLOOR / 2)
        wanted = self.ages[index] if index < len(self.ages) else age + self._pause_beyond(age)
        return min(max(wanted, earliest), max(age + self.max_gap, earliest))

    def _pause_beyond(self, age: float) -> float:
        return _GUESS_BEYOND * math.sqrt(age) if self.is_guess else min(_BEYOND * age, CAP)


# For those who are asked about at a fixed interval: a plan is not free.
UNPLANNED = Plan((), CAP)


def plan(durations: Sequence[float], estimated_time: float | None) -> Plan:
    """
    Plan the questions for a generation.

    :param durations: seconds that the model's last generations took; the order does not matter.
    :param estimated_time: EvoLink's estimate in seconds, if it gave one; it may be wrong.
    """
    mixture = _mixture(durations, estimated_time)
    is_guess = len(durations) < _TRUSTED_FROM
    known = 0.6 * (estimated_time or _UNKNOWN_SECONDS) if is_guess else _PATIENT * min(durations)
    silence = min(max(CAP, known), LONGEST_GAP)
    reach = _GUESS_REACH * max(estimated_time or _UNKNOWN_SECONDS, *durations, 0.0) if is_guess else math.inf
    ages = takewhile(lambda age: age <= reach, _cheapest(*_chances(mixture)))
    return Plan(tuple(ages), silence, is_guess)


@dataclass(frozen=True, slots=True)
class ObservedDuration:
    """How long a generation took; with ``at_most`` it had ended when it was first asked about, so perhaps less."""

    seconds: float
    at_most: bool = False


class Durations:
    """
    How long each model's last generations took, and the plans that follow from it.

    A plan is made anew when enough has been learned to change it: each costs a millisecond.
    """

    def __init__(self) -> None:
        self._last: dict[str, deque[ObservedDuration]] = {}
        self._seen: dict[str, int] = {}
        self._in_a_row: dict[str, int] = {}
        self._used: dict[str, tuple[float, ...]] = {}

    def learn(self, model: str, took: ObservedDuration) -> None:
        """Remember how long a generation took."""
        self._in_a_row[model] = self._in_a_row.get(model, 0) + 1 if took.at_most else 0
        if self._in_a_row[model] >= _ROW:
            took = ObservedDuration(took.seconds * _FASTER)
        last = self._last.setdefault(model, deque(maxlen=REMEMBERED))
        last.append(took)
        self._seen[model] = self._seen.get(model, 0) + 1
        if _is_worth_a_plan(self._seen[model]):
            self._used[model] = tuple(sorted(_settled(last)))

    def plan(self, model: str | None, estimated_time: float | None) -> Plan:
        """Return the plan for a generation of a model."""
        known = self._used.get(model or "", ())
        # With enough known the estimate no longer counts, so that the plan is shared.
        return _made(known, None if len(known) >= _ESTIMATE_OUTWEIGHED else _rounded(estimated_time))


def _settled(last: Sequence[ObservedDuration]) -> list[float]:
    """Durations, where one that is known at most is put where the others make it likely."""
    logs = [math.log(max(took.seconds * (_FOUND_AT_ONCE if took.at_most else 1.0), _SHORTEST)) for took in last]
    most = {place: math.log(max(took.seconds, _SHORTEST)) for place, took in enumerate(last) if took.at_most}
    spread = max(statistics.pstdev(logs), _SMALLEST_SPREAD)
    for _ in range(_ROUNDS if len(most) < len(logs) else 0):
        mean, unsure = statistics.fmean(logs), 0.0
        for place, log in most.items():
            z = (log - mean) / spread
            hazard = _hazard(z)
            logs[place] = mean - spread * hazard
            unsure += max(1.0 - hazard * (z + hazard), 0.0)
        spread = max(math.sqrt(statistics.pvariance(logs) + spread**2 * unsure / len(logs)), _SMALLEST_SPREAD)
    return [math.exp(log) for log in logs]


def _hazard(z: float) -> float:
    """How far, in spreads, the mean of what lies below ``z`` is below that of the whole, if it is normal."""
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / _below(z)


_made = lru_cache(maxsize=512)(plan)


def _is_worth_a_plan(count: int) -> bool:
    return count <= 3 or count in {5, 8, 12, 16, 50} or count % 20 == 0


def _rounded(seconds: float | None) -> float | None:
    """Two digits of an estimate are enough, and keep the plans few."""
    return float(f"{seconds:.2g}") if seconds is not None and 0 < seconds < 1e6 else None


Mixture = list[tuple[float, float, float]]


def _mixture(durations: Sequence[float], estimated_time: float | None) -> Mixture:
    """Return the chance of each duration, as means, spreads and weights of its logarithm."""
    logs = [math.log(seconds) for seconds in durations]
    width = _width(logs) if logs else 0.0
    parts = [(mean, width, weight) for mean, weight in _gathered(_drawn_together(sorted(logs), width))]
    trust = _ESTIMATE_WEIGHT * (1.0 - len(logs) / _ESTIMATE_OUTWEIGHED)
    if estimated_time and trust > 0:
        parts.append((math.log(estimated_time), _ESTIMATE_SPREAD, trust))
    if not parts:
        parts = [(math.log(_UNKNOWN_SECONDS), _UNKNOWN_SPREAD, 1.0)]
    whole = sum(weight for _, _, weight in parts)
    return [(mean, spread, weight / whole) for mean, spread, weight in parts]


def _width(logs: Sequence[float]) -> float:
    """How wide each duration is smeared: by Silverman's rule, and more while there are few."""
    spread = max(statistics.pstdev(logs), 0.05) if len(logs) > 1 else _ESTIMATE_SPREAD
    few = _ESTIMATE_SPREAD / (len(logs) + 2)
    return max(1.06 * spread / math.pow(len(logs), 0.2), few, _SMALLEST_SPREAD)


def _drawn_together(logs: Sequence[float], width: float) -> Sequence[float]:
    """Draw durations towards their mean, so that smearing them does not make them differ more than they do."""
    if len(logs) < _TRUSTED_FROM:
        return logs
    spread, mean = statistics.pstdev(logs), statistics.fmean(logs)
    kept: float = math.sqrt(max(1.0 - (width / max(spread, 1e-9)) ** 2, 0.09))
    return [mean + kept * (log - mean) for log in logs]


def _gathered(logs: Sequence[float]) -> list[tuple[float, float]]:
    """Gather neighbours, which are smeared wider than they differ: means and weights, few enough to be quick."""
    size = math.ceil(len(logs) / _KERNELS)
    groups = [logs[start : start + size] for start in range(0, len(logs), size or 1)]
    return [(statistics.fmean(group), float(len(group))) for group in groups]


def _chances(mixture: Mixture) -> tuple[list[float], list[float], list[float]]:
    """Return ages, the chance to have ended by each, and the mean age of ending up to it, weighted by that chance."""
    low = min(mean - _REACH * spread for mean, spread, _ in mixture)
    step = (max(mean + _REACH * spread for mean, spread, _ in mixture) - low) / _GRID
    grid = [low + number * step for number in range(_GRID + 1)]
    ages = [0.0, *map(math.exp, grid)]
    ended = [0.0] + [sum(w * _below((log - mean) / spread) for mean, spread, w in mixture) for log in grid]
    weighted = [0.0]
    for (age, chance), (later, more) in pairwise(zip(ages, ended, strict=True)):
        weighted.append(weighted[-1] + (more - chance) * (age + later) / 2)
    return ages, ended, weighted


def _below(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _cheapest(ages: list[float], ended: list[float], weighted: list[float]) -> list[float]:
    """Return the ages at which to ask so that questions and delays cost least together, from the last backwards."""
    last = len(ages) - 1
    cost, following = [0.0] * (last + 1), [last] * (last + 1)
    for here in range(last - 1, -1, -1):
        cost[here], following[here] = min(_costs(here, ages, ended, weighted, cost))
    chosen, here = [], 0
    while here < last:
        here = following[here]
        chosen.append(ages[here])
    return chosen


def _costs(
    here: int, ages: list[float], ended: list[float], weighted: list[float], cost: list[float]
) -> list[tuple[float, int]]:
    """Return what it costs to ask next at each later age, up to where the delay alone is dearer than the best."""
    last, question = len(ages) - 1, PRICE * (1.0 - ended[here])
    found: list[tuple[float, int]] = []
    best = math.inf
    for there in range(here + 1, last + 1):
        if ages[there] - ages[here] < FLOOR and there < last:
            continue
        delay = ages[there] * (ended[there] - ended[here]) - (weighted[there] - weighted[here])
        found.append((question + delay + cost[there], there))
        best = min(best, found[-1][0])
        if delay > best:
            break
    return found
