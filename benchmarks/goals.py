# SPDX-License-Identifier: Apache-2.0
"""What is wanted of the waiting, and whether a run has shown it. Pure."""

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
    """
    One figure and its limit.

    :param where: what was measured, such as a count.
    :param shown: the figure, in the unit of the goal; ``None`` if there is none, which misses it.
    """

    name: str
    where: str
    limit: float
    shown: float | None

    @property
    def is_met(self) -> bool:
        """Whether the figure is within the limit."""
        return self.shown is not None and self.shown <= self.limit


def of_crowd(medians: Medians, count: int) -> list[Goal]:
    """The goals at one count; none for contenders that did not run."""
    if any((key, count) not in medians for key in (IDLE, PROTOTYPE, BATCH, SINGLE)):
        return []
    idle, prototype, batch, single = (medians[key, count] for key in (IDLE, PROTOTYPE, BATCH, SINGLE))
    where, net = f"N = {count:,}", net_of(batch, idle)
    peers = [net_of(one, idle) for (key, size), one in medians.items() if size == count and BY_KEY[key].is_peer]
    best = min((one for one in peers if one is not None), default=None)
    memory = (max(batch.bytes_each, single.bytes_each) - idle.bytes_each) / KIB
    return [
        Goal("CPU ms for each generation above an idle trigger's, batch on", where, 0.5, _ms(net)),
        *([Goal("the same, of the best official peer's", where, 0.05, net and net / best)] if best else []),
        Goal("requests for each generation, batch on", where, 0.2, batch.requests_each),
        Goal("CPU for each generation, batch off, of the prototype's", where, 1.0, _ratio(single, prototype)),
        *_lag("batch on", where, batch, idle),
        *_lag("batch off", where, single, idle),
        Goal("connections opened, batch on", where, 10.0, batch.connections),
        Goal("KiB for each waiting generation above an idle trigger's", where, 2.0, memory),
    ]


def _lag(title: str, where: str, one: Measured, idle: Measured) -> list[Goal]:
    """What its own work does to the loop; and what the clock says, which has Airflow and the collector in it, too."""
    return [
        Goal(f"loop lag p99 ms, {title}", where, 20.0, one.own_p99 * MS),
        Goal(f"loop lag max ms, {title}", where, 100.0, one.own_max * MS),
        Goal(f"the same by the clock, p99 (idle triggers: {idle.lag_p99 * MS:.1f})", where, 20.0, one.lag_p99 * MS),
        Goal(f"the same by the clock, max (idle triggers: {idle.lag_max * MS:.0f})", where, 100.0, one.lag_max * MS),
    ]


def of_pacing(rows: Sequence[Paced]) -> list[Goal]:
    """Questions times delay against the best plan, before and after a model is known."""
    limits = {NEW: 1.5, after(50): 1.2, after(60): 1.2}
    return [
        Goal(
            f"questions x delay of the best plan's, {row.policy.removeprefix('ours, ')}",
            row.workload,
            limits[row.policy],
            row.ratio,
        )
        for row in rows
        if row.policy in limits
    ]


def of_restoring(one: Restored) -> list[Goal]:
    """Taking up many at once."""
    where = f"{one.count:,} overdue"
    return [
        Goal("longest block of the loop, ms", where, 100.0, one.own_block * MS),
        Goal("look-ups of the connection", where, 1.0, one.lookups),
    ]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MS


def _ratio(one: Measured, other: Measured) -> float | None:
    """One that has not finished all in time has done another work, and can't be compared."""
    if one.finished < one.count or not one.cpu_each or not other.cpu_each:
        return None
    return one.cpu_each / other.cpu_each
