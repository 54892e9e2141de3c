# SPDX-License-Identifier: Apache-2.0
"""``make bench-airflow``: a real triggerer on PostgreSQL, 1,000 and 2,000 deferred tasks, and what is Airflow's own."""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from benchmarks.real.fan_out import fan_out
from benchmarks.real.report import report_fan_out, report_waiting
from benchmarks.real.stage import staged
from benchmarks.real.waiting import OURS, SLEEPING, Waited, wait
from demo.interrupts import interrupts


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--rounds", type=int, default=2, help="of the first count; the others have one")
    given = parser.parse_args()
    interrupts.install()  # whatever was started ends with this program
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="evolink-bench-", ignore_cleanup_errors=True) as folder,
        staged(Path(folder) / "airflow", max(given.counts)) as stage,
    ):
        cases: list[Waited] = []
        for place, count in enumerate(given.counts):
            for _ in range(1 if place else given.rounds):
                for kind in (SLEEPING, OURS):
                    cases.append(wait(stage, kind, count, len(cases)))
                    print(f"{kind} {count}: taken up in {cases[-1].take_up:.1f} s", flush=True)
            print(report_waiting(cases), flush=True)
        print(report_fan_out(fan_out(stage, Path(folder) / "landed")))


if __name__ == "__main__":
    main()
