"""The figures of a run, as Markdown. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.verdict import Facts, complaints

MOST_COMPLAINTS = 40


@dataclass(frozen=True)
class Figures:
    """What is counted beside the facts.

    :param state: the emulator's, at the end.
    :param kills: by victim.
    :param seconds: from the start of the DAG's run to its end.
    """

    seed: int
    state: Mapping[str, Any]
    kills: Mapping[str, int]
    seconds: float

    def spared(self, victims: Iterable[str]) -> list[str]:
        """Name the faults that never struck, and the victims that were never struck: what a run does not prove."""
        struck: Counter[str] = Counter()
        for fault in self.state["faults"]:
            struck[fault["name"]] += fault["fired"]
        return [name for name, times in struck.items() if not times] + [
            victim for victim in victims if not self.kills.get(victim)
        ]


def report(facts: Facts, figures: Figures) -> str:
    """Return the tables, and what is wrong."""
    wrong = complaints(facts)
    more = [f"… and {len(wrong) - MOST_COMPLAINTS} more"] if len(wrong) > MOST_COMPLAINTS else []
    verdict = [*(f"WRONG: {what}" for what in wrong[:MOST_COMPLAINTS]), *more] or ["Nothing is wrong."]
    return "\n\n".join(
        [
            table(("", ""), _summary(facts, figures)),
            table(("fault", "submit", "read", "media"), _faults(figures.state["faults"])),
            table(("struck", "times"), sorted(figures.kills.items())),
            "\n".join(verdict),
        ]
    )


def _summary(facts: Facts, figures: Figures) -> list[tuple[str, object]]:
    generations, requests = figures.state["generations"], figures.state["requests"]
    statuses = Counter(one["status"] for one in generations)
    ended = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    return [
        ("seed", figures.seed),
        ("videos wished for", len(facts.videos)),
        ("charged twice", facts.double_charges),
        ("lost", facts.lost),
        ("landed with the right SHA-256", facts.landed),
        ("submissions sent", requests["submit"]),
        ("generations accepted", f"{len(generations)} ({ended})"),
        ("questions and downloads", f"{requests['read']} and {requests['media']}"),
        ("faults that struck", sum(fault["fired"] for fault in figures.state["faults"])),
        ("kills and pauses", sum(figures.kills.values())),
        ("tries to generate", _spread(video.tries.get("generate", 0) for video in facts.videos)),
        ("tries to land", _spread(video.tries.get("land", 0) for video in facts.videos)),
        ("most sendings of one submission", max((v.ledger.get("send_count", 0) for v in facts.videos), default=0)),
        ("wall time", f"{figures.seconds / 60:.1f} min"),
    ]


def _spread(tries: Iterable[int]) -> str:
    counted = sorted(tries) or [0]
    return f"{sum(counted) / len(counted):.1f} on average, {counted[len(counted) // 2]} median, {counted[-1]} at most"


def _faults(faults: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    struck: dict[str, Counter[str]] = defaultdict(Counter)
    for fault in faults:
        for endpoint in fault["on"]:
            struck[fault["name"]][endpoint] += fault["fired"]
    return [
        (name, *(by.get(endpoint, "") for endpoint in ("submit", "read", "media")))
        for name, by in sorted(struck.items())
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))
