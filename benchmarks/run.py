# SPDX-License-Identifier: Apache-2.0
"""All benchmarks in one run: ``make bench``.

Rounds are interleaved, so that a busy machine affects all contenders alike. ``QUICK=1`` omits large crowds, most peers
and the emulator and takes some minutes; ``ROUNDS=3`` repeats everything but the peers' large crowds;
``COUNTS="1000 10000"`` chooses the sizes of crowds. Measurements are kept in ``.bench/`` as they come, one line each.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from benchmarks import emulated, pacing
from benchmarks.chart import chart
from benchmarks.contenders import ALL, BATCH, IDLE, PROTOTYPE, SINGLE, Contender
from benchmarks.harness import Harness, running_harness
from benchmarks.machine import machine_facts
from benchmarks.measured import Measured, median_of
from benchmarks.report import Run, goal_table, page
from benchmarks.restore import COUNT, Restored
from benchmarks.stub_process import LATENCY

PROJECT = Path(__file__).resolve().parent.parent
KEPT = PROJECT / ".bench" / "measured.jsonl"
PAGE, CHART = PROJECT / "docs" / "explanation" / "benchmarks.md", PROJECT / "docs" / "images" / "benchmark-triggers.svg"
COUNTS = tuple(int(count) for count in os.environ.get("COUNTS", "1000 5000 10000").split())
_QUICK = (IDLE, "http-sensor", PROTOTYPE, SINGLE, BATCH)
_PACKAGES = (
    "apache-airflow",
    "apache-airflow-providers-http",
    "apache-airflow-providers-dbt-cloud",
    "aiohttp",
    "httpx",
)


def plan(rounds: int, *, is_quick: bool) -> Iterator[tuple[Contender, int]]:
    """Yield what is measured, in order."""
    for number in range(1 if is_quick else rounds):
        for count in COUNTS[:1] if is_quick else COUNTS:
            for contender in ALL:
                is_omitted = (
                    contender.key not in _QUICK if is_quick else contender.is_peer and number and count > COUNTS[0]
                )
                if not is_omitted:
                    yield contender, count


def measure(harness: Harness, rounds: int, *, is_quick: bool) -> Iterator[Measured]:
    """Measure all crowds; print and keep each as it comes."""
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.unlink(missing_ok=True)
    for contender, count in plan(rounds, is_quick=is_quick):
        measured = harness.measure(contender, count)
        with KEPT.open("a") as file:
            file.write(json.dumps(asdict(measured)) + "\n")
        cpu = "-" if measured.cpu_each is None else f"{measured.cpu_each * 1000:.2f} ms"
        print(f"{count:6,} {contender.title.strip('`'):28} {measured.finished:6,} finished, CPU {cpu} each", flush=True)
        yield measured


def medians(measured: Iterable[Measured]) -> dict[tuple[str, int], Measured]:
    """Return the medians of each contender and count over the rounds."""

    def key(row: Measured) -> tuple[str, int]:
        return row.contender, row.count

    return {which: median_of(list(rounds)) for which, rounds in groupby(sorted(measured, key=key), key)}


def facts(rounds: int) -> dict[str, str]:
    """Return what a reader has to know about this run."""
    return {
        **machine_facts(f"make bench ROUNDS={rounds} COUNTS='{' '.join(map(str, COUNTS))}'", _PACKAGES),
        "rounds": f"{rounds}; medians; large crowds of official peers in the first round only",
        "latency of the stub": f"{LATENCY * 1000:.0f} ms",
    }


def main() -> int:
    """Measure, write the page and the chart, print the goals."""
    is_quick, rounds = bool(os.environ.get("QUICK")), int(os.environ.get("ROUNDS", "1"))
    with running_harness() as harness:
        found = medians(measure(harness, rounds, is_quick=is_quick))
        restored = Restored(**harness.run("benchmarks.restore", [str(COUNT)], takes_batches=True))
    paced = pacing.all_of(5) if is_quick else [*pacing.all_of(), *emulated.measure()]
    run = Run(facts(rounds), found, paced, restored)
    print(goal_table(run.goals))
    if not is_quick:
        PAGE.write_text(page(run))
        CHART.write_text(chart(found, run.counts))
        print(f"Written: {PAGE.relative_to(PROJECT)} and {CHART.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
