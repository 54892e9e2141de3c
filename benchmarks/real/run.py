# SPDX-License-Identifier: Apache-2.0
"""``make bench-airflow``: a real triggerer on PostgreSQL with thousands of deferred tasks."""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from benchmarks.real.deployment import deployed
from benchmarks.real.fan_out import fan_out
from benchmarks.real.report import report_fan_out, report_waiting
from benchmarks.real.waiting import OURS, SLEEPING, CaseResult, wait
from testkit.interrupts import interrupts


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--rounds", type=int, default=2, help="rounds of the first count; the others have one")
    options = parser.parse_args()
    interrupts.install()  # everything stops with this program
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="evolink-bench-", ignore_cleanup_errors=True) as folder,
        deployed(Path(folder) / "airflow", max(options.counts)) as deployment,
    ):
        cases: list[CaseResult] = []
        for position, count in enumerate(options.counts):
            for _ in range(1 if position else options.rounds):
                for kind in (SLEEPING, OURS):
                    cases.append(wait(deployment, kind, count, len(cases)))
                    print(f"{kind} {count}: started in {cases[-1].startup:.1f} s", flush=True)
            print(report_waiting(cases), flush=True)
        print(report_fan_out(fan_out(deployment, Path(folder) / "landed")))


if __name__ == "__main__":
    main()
