# SPDX-License-Identifier: Apache-2.0
"""
All benchmarks in one run: ``make bench``. Rounds are interleaved, so that a noisy hour strikes everybody alike.

``QUICK=1`` leaves out great crowds, most peers and the emulator and takes some minutes; ``ROUNDS=3`` repeats all but
the peers' great crowds; ``COUNTS="1000 10000"`` chooses the sizes of crowds. What was measured is kept in ``.bench/``
as it comes, one line for each.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import psutil

from benchmarks import emulated, pacing
from benchmarks.chart import chart
from benchmarks.contenders import ALL, BATCH, IDLE, PROTOTYPE, SINGLE, Contender
from benchmarks.measured import Measured, median_of
from benchmarks.report import Run, goal_table, page
from benchmarks.restore import COUNT, Restored
from benchmarks.stage import LATENCY, Stage, set_up

PROJECT = Path(__file__).resolve().parent.parent
KEPT = PROJECT / ".bench" / "measured.jsonl"
PAGE, CHART = PROJECT / "docs" / "benchmarks.md", PROJECT / "docs" / "images" / "benchmark-triggers.svg"
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
    """What is measured, in which order."""
    for number in range(1 if is_quick else rounds):
        for count in COUNTS[:1] if is_quick else COUNTS:
            for contender in ALL:
                is_left_out = (
                    contender.key not in _QUICK if is_quick else contender.is_peer and number and count > COUNTS[0]
                )
                if not is_left_out:
                    yield contender, count


def measure(stage: Stage, rounds: int, *, is_quick: bool) -> Iterator[Measured]:
    """Measure all crowds; each is told and kept as it comes."""
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.unlink(missing_ok=True)
    for contender, count in plan(rounds, is_quick=is_quick):
        one = stage.measure(contender, count)
        with KEPT.open("a") as file:
            file.write(json.dumps(asdict(one)) + "\n")
        cpu = "-" if one.cpu_each is None else f"{one.cpu_each * 1000:.2f} ms"
        print(f"{count:6,} {contender.title.strip('`'):28} {one.finished:6,} finished, CPU {cpu} each", flush=True)
        yield one


def medians(measured: Iterable[Measured]) -> dict[tuple[str, int], Measured]:
    """Sum up the rounds of each contender and count."""

    def key(one: Measured) -> tuple[str, int]:
        return one.contender, one.count

    return {which: median_of(list(rounds)) for which, rounds in groupby(sorted(measured, key=key), key)}


def facts(rounds: int) -> dict[str, str]:
    """What a reader has to know about this run."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"`make bench ROUNDS={rounds} COUNTS='{' '.join(map(str, COUNTS))}'`",
        "machine": f"{_processor()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load when it ended": ", ".join(f"{load:.1f}" for load in psutil.getloadavg()),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name.removeprefix('apache-')} {version(name)}" for name in _PACKAGES),
        "rounds": f"{rounds}; medians; great crowds of official peers only in the first",
        "latency of the stub": f"{LATENCY * 1000:.0f} ms",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> int:
    """Measure, write the page and the chart, print the goals."""
    is_quick, rounds = bool(os.environ.get("QUICK")), int(os.environ.get("ROUNDS", "1"))
    with set_up() as stage:
        found = medians(measure(stage, rounds, is_quick=is_quick))
        restored = Restored(**stage.run("benchmarks.restore", [str(COUNT)], takes_batches=True))
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
