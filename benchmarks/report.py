# SPDX-License-Identifier: Apache-2.0
"""Writes the findings of a run as a page. Pure: figures in, Markdown out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import BY_KEY, IDLE
from benchmarks.goals import KIB, MS, Goal, Medians, of_crowd, of_pacing, of_restoring
from benchmarks.measured import Measured, net_of
from benchmarks.pacing import Paced
from benchmarks.pacing import table as pacing_table
from benchmarks.restore import Restored
from benchmarks.tables import markdown, number

_HEADS = [
    "<trigger", "finished", "CPU ms each", "net of idle", "best peer ÷", "requests each", "connections",
    "lag p99 ms", "lag max ms", "by the clock", "mean delay s", "p99 delay s", "KiB each", "look-ups",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Everything that a run has measured.

    :param facts: facts about the machine and the run, by name.
    :param medians: of the crowds.
    :param pacing: simulated, and on the emulator.
    :param restored: ten thousand triggers at once, if that was part of the run.
    """

    facts: Mapping[str, str]
    medians: Medians
    pacing: Sequence[Paced]
    restored: Restored | None

    @property
    def counts(self) -> list[int]:
        """The sizes of crowds."""
        return sorted({count for _, count in self.medians})

    @property
    def goals(self) -> list[Goal]:
        """All goals whose figures this run has."""
        crowds = [goal for count in self.counts for goal in of_crowd(self.medians, count)]
        return crowds + of_pacing(self.pacing) + (of_restoring(self.restored) if self.restored else [])


def page(run: Run) -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION, facts_table(run.facts), "## Goals", goal_table(run.goals)]
    parts += ["## Waiting triggers", _EXPLAINED]
    parts += ["![CPU for each finished generation](../images/benchmark-triggers.svg)"]
    for count in run.counts:
        parts += [f"### {count:,} waiting", crowd_table(run.medians, count)]
    parts += ["## When to poll", _PACING_EXPLAINED, pacing_table(run.pacing)]
    if run.restored:
        parts += [f"## Taking over {run.restored.count:,} at once", restored_text(run.restored)]
    return "\n\n".join(parts) + "\n"


def goal_table(goals: Sequence[Goal]) -> str:
    """Return each goal with its figure, and whether it is met."""
    return markdown(
        ["goal", "<at", "limit", "shown", "<"],
        [[goal.name, goal.where, _limit(goal), _shown(goal), _verdict(goal)] for goal in goals],
    )


def _limit(goal: Goal) -> str:
    return f"{'≥' if goal.is_minimum else '≤'} {goal.limit:g}"


def _shown(goal: Goal) -> str:
    return number(goal.shown, 3 if 0 < goal.limit < 0.1 else 2)


def _verdict(goal: Goal) -> str:
    return "met" if goal.is_met else "**missed**"


def crowd_table(medians: Medians, count: int) -> str:
    """Return all contenders at one count."""
    rows = [medians[key, count] for key in BY_KEY if (key, count) in medians]
    idle = medians.get((IDLE, count))
    peers = [row.cpu_each for row in rows if BY_KEY[row.contender].is_peer and row.cpu_each and row.finished == count]
    return markdown(_HEADS, [_row(row, idle, min(peers, default=None)) for row in rows])


def _row(measured: Measured, idle: Measured | None, best_peer: float | None) -> list[str]:
    net = net_of(measured, idle) if idle else None
    gain = best_peer / measured.cpu_each if best_peer and measured.cpu_each else None
    return [
        BY_KEY[measured.contender].title,
        "all" if measured.finished == measured.count else f"{measured.finished:,.0f} of {measured.count:,}",
        number(measured.cpu_each and measured.cpu_each * MS),
        number(None if net is None else net * MS),
        number(gain, 1),
        number(measured.requests_each),
        f"{measured.connections:,.0f}",
        number(measured.own_p99 * MS, 1),
        number(measured.own_max * MS, 0),
        f"{measured.lag_p99 * MS:,.0f} / {measured.lag_max * MS:,.0f}",
        number(measured.delay_mean, 1),
        number(measured.delay_p99, 1),
        number(measured.bytes_each / KIB, 1),
        f"{measured.lookups:,.0f}",
    ]


def restored_text(restored: Restored) -> str:
    """Return the cost of taking over many triggers at once, in a sentence."""
    return (
        f"All started within {restored.start_seconds:.1f} s, the way a triggerer starts them. In the first ten seconds "
        f"the loop was blocked for at most {restored.own_block * MS:.0f} ms ({restored.longest_block * MS:.0f} by the "
        f"clock), the connection was looked up {restored.lookups} time(s), {restored.requests:,} requests went over "
        f"{restored.connections} connections, and the process used {restored.cpu_seconds:.1f} s of CPU."
    )


def facts_table(facts: Mapping[str, str]) -> str:
    """Return the facts about a run."""
    return markdown(["this run", "<"], [[name, text] for name, text in facts.items()])


_INTRODUCTION = """# Benchmarks

Written by `make bench`, not by hand."""

_EXPLAINED = """Each row is a separate process that starts its triggers over 10 s, as the triggerer's runner does (its
`run_trigger`, greenback portal and JSON log lines included), on one core; a stub responds over https after 100 ms, on
the other. Jobs end 10 to 25 s after their start, and every trigger but the paced one polls every 10 s. A run is cut off
after 45 s. CPU is that of the process, divided by the generations that have finished; *net of idle* subtracts the cost
of as many sleeping triggers; *best peer ÷* is the CPU of the cheapest official peer that has finished all, divided by
the row's. The lag is the time that a callback waits that becomes due at a random moment, and its max the longest time
for which the loop was busy, in CPU time without that of Python's collector, which now and then walks everything that
Airflow has imported; *by the clock* has p99 and max with the collector, and with everything else that ran on the
machine. KiB is the growth of the process when all wait. The progress that the stub reports never moves. Here a
connection is looked up within the process; in a triggerer each look-up is a message to its supervisor."""

_PACING_EXPLAINED = """Simulated on random durations with the provider's own decisions, and on the emulator with its own
poller, where batches are refused so that each poll is a request. The best plan knows the true durations and prices a
poll like a second of delay; it is computed independently of the provider, by exhaustive search over the moments at
which polling can be best. In the simulation EvoLink reports neither progress nor the duration of a finished generation.
The emulator's durations vary so little that the best plan polls several times within three seconds, which no client
should; there the measure is the best plan that keeps the pacing's floor."""
