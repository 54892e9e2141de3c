# SPDX-License-Identifier: Apache-2.0
"""The goals for waiting, and whether a run meets them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import BATCH, BY_KEY, IDLE, PROTOTYPE, SINGLE
from benchmarks.measured import Measured, net_of
from benchmarks.pacing import NEW, Paced, after
from benchmarks.restore import Restored

KIB, MS = 1024, 1000
# By contender and count.
Medians = Mapping[tuple[str, int], Measured]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure and its limit.

    :param name: what is measured, with its unit.
    :param where: under which conditions, such as a count.
    :param limit: maximum, or minimum.
    :param shown: the measured figure; ``None`` if there is none, which misses the goal.
    :param is_minimum: whether the figure has to reach the limit rather than keep below it.
    """

    name: str
    where: str
    limit: float
    shown: float | None
    is_minimum: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is within the limit."""
        if self.shown is None:
            return False
        return self.shown >= self.limit if self.is_minimum else self.shown <= self.limit


def of_crowd(medians: Medians, count: int) -> list[Goal]:
    """Return the goals at one count; none if a contender that they need did not run."""
    if any((key, count) not in medians for key in (IDLE, PROTOTYPE, BATCH, SINGLE)):
        return []
    idle, prototype, batch, single = (medians[key, count] for key in (IDLE, PROTOTYPE, BATCH, SINGLE))
    where, net = f"N = {count:,}", net_of(batch, idle)
    peer_costs = [
        net_of(measured, idle) for (key, size), measured in medians.items() if size == count and BY_KEY[key].is_peer
    ]
    best = min((cost for cost in peer_costs if cost is not None), default=None)
    memory = (max(batch.bytes_each, single.bytes_each) - idle.bytes_each) / KIB
    return [
        Goal("CPU ms for each generation above an idle trigger's, batch on", where, 0.5, _ms(net)),
        *([Goal("the same, relative to the best official peer", where, 0.05, net and net / best)] if best else []),
        Goal("requests for each generation, batch on", where, 0.2, batch.requests_each),
        Goal("CPU for each generation, batch off, relative to the prototype", where, 1.0, _ratio(single, prototype)),
        *_lag("batch on", where, batch, idle),
        *_lag("batch off", where, single, idle),
        Goal("connections opened, batch on", where, 10.0, batch.connections),
        Goal("KiB for each waiting generation above an idle trigger's", where, 2.0, memory),
    ]


def _lag(title: str, where: str, measured: Measured, idle: Measured) -> list[Goal]:
    """Return the lag of the loop's own work, and the lag by the clock, which includes Airflow and the collector."""
    return [
        Goal(f"loop lag p99 ms, {title}", where, 20.0, measured.own_p99 * MS),
        Goal(f"loop lag max ms, {title}", where, 100.0, measured.own_max * MS),
        Goal(
            f"the same by the clock, p99 (idle triggers: {idle.lag_p99 * MS:.1f})", where, 20.0, measured.lag_p99 * MS
        ),
        Goal(
            f"the same by the clock, max (idle triggers: {idle.lag_max * MS:.0f})", where, 100.0, measured.lag_max * MS
        ),
    ]


def of_pacing(rows: Sequence[Paced]) -> list[Goal]:
    """Return polls times delay relative to the best plan, before and after a model is known."""
    limits = {NEW: 1.5, after(50): 1.2, after(60): 1.2}
    return [
        Goal(
            f"polls x delay relative to the best plan, {row.policy.removeprefix('ours, ')}",
            row.workload,
            limits[row.policy],
            row.ratio,
        )
        for row in rows
        if row.policy in limits
    ]


def of_restoring(restored: Restored) -> list[Goal]:
    """Return the goals for taking over many triggers at once."""
    where = f"{restored.count:,} overdue"
    return [
        Goal("longest block of the loop, ms", where, 100.0, restored.own_block * MS),
        Goal("look-ups of the connection", where, 1.0, restored.lookups),
    ]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MS


def _ratio(measured: Measured, other: Measured) -> float | None:
    """Return the ratio of CPU times; None unless all have finished: less work can't be compared."""
    if measured.finished < measured.count or not measured.cpu_each or not other.cpu_each:
        return None
    return measured.cpu_each / other.cpu_each
