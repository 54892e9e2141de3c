# SPDX-License-Identifier: Apache-2.0
"""The figures of a run, as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.invariants import Facts, violations
from tests.chaos.report import MAX_VIOLATIONS, table


@dataclass
class TakeOver:
    """How the survivors took over from a killed component.

    :param name: the component.
    :param held: what it was responsible for.
    :param at: when it was killed, in seconds since the epoch.
    :param seconds: until the survivors had taken over all of it; None if they have not.
    :param pause: longest time without a task start within the minute after the kill.
    """

    name: str
    held: str
    at: float
    seconds: float | None = None
    pause: float | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured.

    :param count: number of generations.
    :param deferred: seconds until all were submitted and deferred.
    :param landing: seconds from EvoLink's completion of all until the last had landed.
    :param total: seconds from the trigger of the DAG run to its success.
    :param take_overs: one for each kill.
    :param cpu: CPU seconds of each component kind over the whole run.
    :param database_bytes: size of Airflow's database.
    """

    count: int
    deferred: float
    landing: float
    total: float
    take_overs: Sequence[TakeOver]
    cpu: Mapping[str, float]
    database_bytes: int


def report(facts: Facts, figures: Figures) -> str:
    """Return the tables and the violations."""
    wrong = violations(facts)
    verdict = "\n".join(f"WRONG: {what}" for what in wrong[:MAX_VIOLATIONS]) or "Nothing is wrong."
    return "\n\n".join(
        [
            table(("", ""), _summary(facts, figures)),
            table(("killed", "was responsible for", "taken over after", "longest pause"), _take_overs(figures)),
            table(("part", "CPU seconds", "for each generation"), _cpu(figures)),
            f"{verdict} ({len(wrong)} violations)",
        ]
    )


def _summary(facts: Facts, figures: Figures) -> list[tuple[str, object]]:
    count = figures.count
    return [
        ("generations requested", count),
        ("charged twice", facts.double_charges),
        ("lost", facts.lost),
        ("landed with the right SHA-256", facts.landed),
        ("all submitted and deferred after", f"{figures.deferred:.0f} s ({count / figures.deferred:.2f}/s)"),
        ("all landed after completion in", f"{figures.landing:.0f} s ({count / figures.landing:.2f}/s)"),
        ("whole run", f"{figures.total / 60:.1f} min"),
        ("size of the database", f"{figures.database_bytes / 2**20:.0f} MiB"),
    ]


def _take_overs(figures: Figures) -> list[tuple[object, ...]]:
    return [
        (take_over.name, take_over.held, _seconds(take_over.seconds), _seconds(take_over.pause))
        for take_over in figures.take_overs
    ]


def _cpu(figures: Figures) -> list[tuple[object, ...]]:
    rows = [*figures.cpu.items(), ("all", sum(figures.cpu.values()))]
    return [(part, f"{used:.0f}", f"{used / figures.count:.2f}") for part, used in rows]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
