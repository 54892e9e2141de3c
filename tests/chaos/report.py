# SPDX-License-Identifier: Apache-2.0
"""The figures of a run, as Markdown. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MAX_VIOLATIONS = 40
_ENDPOINTS = ("submit", "read", "batch", "media")


class Results(Protocol):
    """What became of the videos; see :class:`~tests.chaos.invariants.Facts`."""

    @property
    def requested(self) -> int: ...
    @property
    def double_charges(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def landed(self) -> int: ...
    @property
    def attempts(self) -> Mapping[str, Sequence[int]]: ...
    @property
    def sends(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class Figures:
    """What is counted in addition to the facts.

    :param seed: of the run.
    :param state: the emulator's state at the end.
    :param kills: by target.
    :param seconds: duration of the DAG run.
    """

    seed: int
    state: Mapping[str, Any]
    kills: Mapping[str, int]
    seconds: float

    def not_exercised(self, targets: Iterable[str]) -> list[str]:
        """Return the faults that never fired and the targets that were never killed: what a run does not prove."""
        fired: Counter[str] = Counter()
        for fault in self.state["faults"]:
            fired[fault["name"]] += fault["fired"]
        return [name for name, times in fired.items() if not times] + [
            target for target in targets if not self.kills.get(target)
        ]


def report(results: Results, wrong: Sequence[str], figures: Figures) -> str:
    """Return the tables and the violations."""
    more = [f"... and {len(wrong) - MAX_VIOLATIONS} more"] if len(wrong) > MAX_VIOLATIONS else []
    verdict = [*(f"WRONG: {what}" for what in wrong[:MAX_VIOLATIONS]), *more] or ["Nothing is wrong."]
    return "\n\n".join(
        [
            table(("", ""), _summary(results, figures)),
            table(("fault", *_ENDPOINTS), _faults(figures.state["faults"])),
            table(("killed", "times"), sorted(figures.kills.items())),
            "\n".join(verdict),
        ]
    )


def _summary(results: Results, figures: Figures) -> list[tuple[str, object]]:
    generations, requests = figures.state["generations"], figures.state["requests"]
    statuses = Counter(generation["status"] for generation in generations)
    ended = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    return [
        ("seed", figures.seed),
        ("videos requested", results.requested),
        ("charged twice", results.double_charges),
        ("lost", results.lost),
        ("landed with the right SHA-256", results.landed),
        ("submissions sent", requests["submit"]),
        ("generations accepted", f"{len(generations)} ({ended})"),
        ("queries and downloads", f"{requests['read'] + requests['batch']} and {requests['media']}"),
        ("faults that fired", sum(fault["fired"] for fault in figures.state["faults"])),
        ("kills and suspensions", sum(figures.kills.values())),
        *((f"attempts {label}", _spread(tries)) for label, tries in results.attempts.items()),
        ("most requests for one submission", max(results.sends, default=0)),
        ("wall time", f"{figures.seconds / 60:.1f} min"),
    ]


def _spread(tries: Iterable[int]) -> str:
    counted = sorted(tries) or [0]
    return f"{sum(counted) / len(counted):.1f} on average, {counted[len(counted) // 2]} median, {counted[-1]} at most"


def _faults(faults: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    fired: dict[str, Counter[str]] = defaultdict(Counter)
    for fault in faults:
        for endpoint in fault["on"]:
            fired[fault["name"]][endpoint] += fault["fired"]
    return [(name, *(counts.get(endpoint, "") for endpoint in _ENDPOINTS)) for name, counts in sorted(fired.items())]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))
