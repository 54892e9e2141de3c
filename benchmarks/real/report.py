# SPDX-License-Identifier: Apache-2.0
"""The figures as Markdown. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.real.fan_out import FanOutResult
from benchmarks.real.waiting import OURS, SLEEPING, WINDOW_SECONDS, CaseResult
from benchmarks.tables import markdown

STARTUP_GOAL = 1.1
_HEAD = (
    "trigger", "N", "startup s", "runner %", "supervisor %", "postgres %", "MiB runner", "MiB supervisor",
    "files supervisor", "files runner", "requests", "messages", "of Airflow's own", "log lines",
)  # fmt: skip


def report_waiting(cases: Sequence[CaseResult]) -> str:
    """Return the cost of waiting, and whether the goals are met."""
    return "\n\n".join(
        [
            f"While all wait, in {WINDOW_SECONDS:.0f} s:\n\n" + markdown(_HEAD, [_row(case) for case in cases]),
            "Goals:\n\n" + markdown(("goal", "measured", "met"), _goals(cases)),
            "Messages until all were started: " + "; ".join(_start(case) for case in cases),
        ]
    )


def _row(case: CaseResult) -> tuple[object, ...]:
    cpu = [f"{case.cpu[name]:.1f}" for name in ("runner", "supervisor", "postgres")]
    rss = [f"{case.rss[name]:.0f}" for name in ("runner", "supervisor")]
    files = [case.files[name] for name in ("supervisor", "runner")]
    counts = [case.requests, case.messages, case.heartbeats, case.lines]
    return (case.kind, case.count, f"{case.startup:.1f}", *cpu, *rss, *files, *counts)


def _goals(cases: Sequence[CaseResult]) -> list[tuple[object, ...]]:
    ours = [case for case in cases if case.kind == OURS]
    messages = max(case.messages for case in ours)
    lines = max(case.lines for case in ours)
    lookups = max(case.start_messages.get("GetConnection", 0) for case in ours)
    return [
        ("messages per poll: 0", f"at most {messages} in a window", messages == 0),
        ("log lines per poll: 0", f"at most {lines} in a window", lines == 0),
        ("connection look-ups at startup: 1", f"at most {lookups}", lookups <= 1),
        *_ratios(cases),
    ]


def _ratios(cases: Sequence[CaseResult]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for count in sorted({case.count for case in cases}):
        startups = {
            kind: [case.startup for case in cases if (case.kind, case.count) == (kind, count)]
            for kind in (OURS, SLEEPING)
        }
        if all(startups.values()):
            ratio = statistics.median(startups[OURS]) / statistics.median(startups[SLEEPING])
            goal = f"startup of {count}, relative to sleeping triggers: at most {STARTUP_GOAL}"
            rows.append((goal, f"{ratio:.2f} (medians)", ratio <= STARTUP_GOAL))
    return rows


def _start(case: CaseResult) -> str:
    sent = ", ".join(f"{number} {name}" for name, number in sorted(case.start_messages.items())) or "none"
    return f"{case.kind} {case.count}: {sent}"


def report_fan_out(run: FanOutResult) -> str:
    """Return how long each step took from EvoLink's completion to the landed file."""
    spans = {
        "completed -> the trigger fires": [delay.fired - delay.completed for delay in run.delays],
        "the trigger fires -> the task succeeds": [delay.succeeded - delay.fired for delay in run.delays],
        "completed -> the task succeeds": [delay.succeeded - delay.completed for delay in run.delays],
        "the task succeeds -> landed": [delay.landed - delay.succeeded for delay in run.delays],
    }
    rows = [(name, *_spread(values)) for name, values in spans.items() if values]
    head = (
        f"{len(run.delays)} generations fanned out beside them: {run.state} after {run.seconds:.0f} s, "
        f"at most {run.max_concurrent} in progress at once"
    )
    return f"{head}\n\n" + markdown(("seconds", "median", "least", "most"), rows)


def _spread(values: Sequence[float]) -> tuple[str, str, str]:
    return f"{statistics.median(values):.1f}", f"{min(values):.1f}", f"{max(values):.1f}"
