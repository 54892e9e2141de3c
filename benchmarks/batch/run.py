# SPDX-License-Identifier: Apache-2.0
"""All contenders in one run: ``make bench-batch``.

Rounds are interleaved, so that a busy machine affects all contenders alike. ``COUNT`` is the number of rows of batch
and script (1,000), ``MAPPED`` that of mapped tasks (100), and there are ``ROUNDS`` (2). ``QUICK=1`` is a short run that
writes no page; ``CONTENDERS`` names those to run. Measurements are kept in ``.bench/`` as they come, one line each, and
the goals at the end.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.batch.cases import CONTENDERS, IDLE, Case, Sizes, plan, warm_up
from benchmarks.batch.deployment import ROOT, Deployment, deployed
from benchmarks.batch.measured import Measured
from benchmarks.batch.measuring import measure
from benchmarks.batch.report import Run, medians, page
from benchmarks.machine import machine_facts
from benchmarks.report import goal_table
from benchmarks.stub_process import LATENCY
from testkit.interrupts import interrupts

KEPT, GOALS = ROOT / ".bench" / "batch.jsonl", ROOT / ".bench" / "batch-goals.json"
PAGE = ROOT / "docs" / "explanation" / "benchmarks-batch.md"
_PACKAGES = ("apache-airflow", "apache-airflow-task-sdk", "aiohttp", "httpx")
_IDLE_SECONDS, _QUICK_IDLE_SECONDS = 60.0, 20.0


def sizes(env: dict[str, str]) -> Sizes:
    """Return how much is measured."""
    is_quick = bool(env.get("QUICK"))
    count, mapped, rounds = (100, 10, 1) if is_quick else (1000, 100, 2)
    return Sizes(
        count=int(env.get("COUNT") or count),
        mapped=int(env.get("MAPPED") or mapped),
        rounds=int(env.get("ROUNDS") or rounds),
        has_large=not is_quick,
    )


def measure_all(
    deployment: Deployment, contenders: Sequence[str], chosen: Sizes, idle_seconds: float
) -> Iterator[Measured]:
    """Measure all cases; print and keep each as it comes."""
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.unlink(missing_ok=True)
    for case in warm_up(contenders):
        _print(case, measure(deployment, case, -1, idle_seconds))
    for number, case in plan(contenders, chosen):
        measured = measure(deployment, case, number, idle_seconds)
        with KEPT.open("a") as file:
            file.write(json.dumps(asdict(measured)) + "\n")
        _print(case, measured)
        yield measured


def _print(case: Case, measured: Measured) -> None:
    cpu = ", ".join(f"{part} {used:.1f}" for part, used in (measured.cpu or {}).items())
    warm_up = "" if measured.number >= 0 else " (warming up)"
    landed = "" if case.contender == IDLE else f"; {measured.landed:,} landed in {measured.seconds:.0f} s"
    retried = f"; {measured.retried} tried again" if measured.retried else ""
    print(f"{case}{warm_up}{landed}{retried}; CPU seconds: {cpu}", flush=True)


def main() -> int:
    """Measure, write the page, print the goals. A missed goal is no failure of the run."""
    interrupts.install()  # everything stops with this program
    logging.getLogger("httpx").setLevel(logging.WARNING)
    env = dict(os.environ)
    chosen, is_quick = sizes(env), bool(env.get("QUICK"))
    contenders = (env.get("CONTENDERS") or " ".join(CONTENDERS)).split()
    with (
        tempfile.TemporaryDirectory(prefix="evolink-bench-", ignore_cleanup_errors=True) as folder,
        deployed(Path(folder), contenders) as deployment,
    ):
        idle_seconds = _QUICK_IDLE_SECONDS if is_quick else _IDLE_SECONDS
        found = list(measure_all(deployment, contenders, chosen, idle_seconds))
    command = f"make bench-batch COUNT={chosen.count} MAPPED={chosen.mapped} ROUNDS={chosen.rounds}"
    facts = machine_facts(command, _PACKAGES) | {
        "rounds": f"{chosen.rounds}; medians; the batches of 10,000 once",
        "EvoLink": f"{LATENCY * 1000:.0f} ms for each response, over https; completes after 5 s; results of 150 kB",
    }
    run = Run(facts, chosen, medians(found), found)
    goals = [asdict(goal) | {"is_met": goal.is_met} for goal in run.goals]
    GOALS.write_text(json.dumps({"facts": facts, "goals": goals}, indent=2))
    print(goal_table(run.goals))
    missed = sum(not goal.is_met for goal in run.goals)
    print(f"{len(run.goals) - missed} of {len(run.goals)} goals met.")
    if not is_quick:
        PAGE.write_text(page(run))
        print(f"Written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
