# SPDX-License-Identifier: Apache-2.0
"""The figures of a run, as Markdown. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.invariants import Facts, violations

MAX_VIOLATIONS = 40


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


def report(facts: Facts, figures: Figures) -> str:
    """Return the tables and the violations."""
    wrong = violations(facts)
    more = [f"... and {len(wrong) - MAX_VIOLATIONS} more"] if len(wrong) > MAX_VIOLATIONS else []
    verdict = [*(f"WRONG: {what}" for what in wrong[:MAX_VIOLATIONS]), *more] or ["Nothing is wrong."]
    return "\n\n".join(
        [
            table(("", ""), _summary(facts, figures)),
            table(("fault", "submit", "read", "media"), _faults(figures.state["faults"])),
            table(("killed", "times"), sorted(figures.kills.items())),
            "\n".join(verdict),
        ]
    )


def _summary(facts: Facts, figures: Figures) -> list[tuple[str, object]]:
    generations, requests = figures.state["generations"], figures.state["requests"]
    statuses = Counter(generation["status"] for generation in generations)
    ended = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    return [
        ("seed", figures.seed),
        ("videos requested", len(facts.videos)),
        ("charged twice", facts.double_charges),
        ("lost", facts.lost),
        ("landed with the right SHA-256", facts.landed),
        ("submissions sent", requests["submit"]),
        ("generations accepted", f"{len(generations)} ({ended})"),
        ("queries and downloads", f"{requests['read']} and {requests['media']}"),
        ("faults that fired", sum(fault["fired"] for fault in figures.state["faults"])),
        ("kills and suspensions", sum(figures.kills.values())),
        ("attempts to generate", _spread(video.tries.get("generate", 0) for video in facts.videos)),
        ("attempts to land", _spread(video.tries.get("land", 0) for video in facts.videos)),
        ("most requests for one submission", max((v.ledger.get("send_count", 0) for v in facts.videos), default=0)),
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
    return [
        (name, *(counts.get(endpoint, "") for endpoint in ("submit", "read", "media")))
        for name, counts in sorted(fired.items())
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))
