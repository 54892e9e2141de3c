"""The figures of a run, as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.report import MOST_COMPLAINTS, table
from tests.chaos.verdict import Facts, complaints


@dataclass
class TakeOver:
    """How the others took over from one that was killed.

    :param name: who.
    :param held: what it had in hand.
    :param at: when, in seconds since the epoch.
    :param seconds: until the others had all of that; None while they have not.
    :param pause: the longest time in the minute after it in which no task was started.
    """

    name: str
    held: str
    at: float
    seconds: float | None = None
    pause: float | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured.

    :param deferred: seconds until all were submitted and waited.
    :param landing: seconds from EvoLink's completion of all until the last was landed.
    :param whole: seconds of the whole run, from the trigger of the DAG to its success.
    :param cpu: seconds that each part used, of the whole run.
    """

    count: int
    deferred: float
    landing: float
    whole: float
    take_overs: Sequence[TakeOver]
    cpu: Mapping[str, float]
    database_bytes: int


def report(facts: Facts, figures: Figures) -> str:
    """Return the tables, and what is wrong."""
    wrong = complaints(facts)
    verdict = "\n".join(f"WRONG: {what}" for what in wrong[:MOST_COMPLAINTS]) or "Nothing is wrong."
    return "\n\n".join(
        [
            table(("", ""), _summary(facts, figures)),
            table(("killed", "had in hand", "the others had it after", "longest pause"), _take_overs(figures)),
            table(("part", "CPU seconds", "for each generation"), _cpu(figures)),
            f"{verdict} ({len(wrong)} complaints)",
        ]
    )


def _summary(facts: Facts, figures: Figures) -> list[tuple[str, object]]:
    count = figures.count
    return [
        ("generations wished for", count),
        ("charged twice", facts.double_charges),
        ("lost", facts.lost),
        ("landed with the right SHA-256", facts.landed),
        ("all submitted and waiting after", f"{figures.deferred:.0f} s ({count / figures.deferred:.2f}/s)"),
        ("all landed after completion in", f"{figures.landing:.0f} s ({count / figures.landing:.2f}/s)"),
        ("whole run", f"{figures.whole / 60:.1f} min"),
        ("size of the database", f"{figures.database_bytes / 2**20:.0f} MiB"),
    ]


def _take_overs(figures: Figures) -> list[tuple[object, ...]]:
    return [(one.name, one.held, _seconds(one.seconds), _seconds(one.pause)) for one in figures.take_overs]


def _cpu(figures: Figures) -> list[tuple[object, ...]]:
    rows = [*figures.cpu.items(), ("all", sum(figures.cpu.values()))]
    return [(part, f"{used:.0f}", f"{used / figures.count:.2f}") for part, used in rows]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
