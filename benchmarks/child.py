# SPDX-License-Identifier: Apache-2.0
"""Runs one crowd of one contender in its own process: starts, waits, measures.

Called by :mod:`benchmarks.harness` as ``python -m benchmarks.child``; prints the measurement as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import ssl
import statistics
import sys
import time
from contextlib import suppress
from dataclasses import asdict

import psutil

from benchmarks.contenders import BY_KEY, Contender
from benchmarks.endpoint import PORT_VARIABLE
from benchmarks.jobs import Job, crowd
from benchmarks.lag import Spells, lag, watched_loop
from benchmarks.measured import Measured
from benchmarks.profiling import profiled
from benchmarks.stub import COUNTS_PATH
from benchmarks.triggerer import Triggerer

CUT_OFF_SECONDS = 45.0


class StubCounts:
    """Read the stub's counts over one connection, which is not counted."""

    def __init__(self) -> None:
        tls = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        self._connection = http.client.HTTPSConnection("127.0.0.1", int(os.environ[PORT_VARIABLE]), context=tls)
        self._before = {"requests": 0, "connections": 0}
        self._before = self.read()

    def read(self) -> dict[str, int]:
        """Return what was added since the start."""
        self._connection.request("GET", COUNTS_PATH)
        totals: dict[str, int] = json.loads(self._connection.getresponse().read())
        return {name: totals[name] - self._before[name] for name in totals}


async def run_crowd(contender: Contender, count: int, spells: Spells, cut_off: float) -> Measured:
    """Run a crowd to its end, or to the cut-off."""
    counts, triggerer, memory = StubCounts(), Triggerer(), psutil.Process()
    contender.make(Job(0, 0, 0))  # imports are not measured
    await asyncio.sleep(0.1)
    rss, lookups_before, waiting_rss = memory.memory_info().rss, triggerer.lookups, 0
    spells.reset()
    cpu, start = time.process_time(), time.time()
    jobs = crowd(count, start)
    with profiled(), suppress(TimeoutError):
        async with asyncio.timeout(cut_off):
            for job in jobs:
                if job.begins_at > time.time():
                    await asyncio.sleep(job.begins_at - time.time())
                triggerer.start(job.number, contender.make(job))
            waiting_rss = memory.memory_info().rss - rss
            await triggerer.all_done()
    cpu, seconds, busy, own = time.process_time() - cpu, time.time() - start, spells.busy, spells.own
    delays = sorted(triggerer.fired_at[job.number] - job.ends_at for job in jobs if job.number in triggerer.fired_at)
    measured = Measured(
        contender=contender.key,
        count=count,
        finished=len(delays),
        failed=triggerer.failed[:3],
        seconds=seconds,
        cpu_seconds=cpu,
        lookups=triggerer.lookups - lookups_before,
        lag_p99=lag(busy, seconds, 0.01),
        lag_max=max(busy),
        own_p99=lag(own, seconds, 0.01),
        own_max=max(own),
        delay_mean=statistics.fmean(delays) if delays else None,
        delay_p99=delays[int(0.99 * (len(delays) - 1))] if delays else None,
        bytes_each=waiting_rss / count,
        **await asyncio.to_thread(counts.read),
    )
    await asyncio.wait({asyncio.ensure_future(triggerer.stop())}, timeout=5)
    return measured


def main() -> None:
    """Measure, print, and exit without waiting for what was cut off."""
    parser = argparse.ArgumentParser(description="one crowd of triggers")
    parser.add_argument("contender", choices=BY_KEY)
    parser.add_argument("count", type=int)
    parser.add_argument("--core", type=int, help="CPU core to run on")
    parser.add_argument("--cut-off", type=float, default=CUT_OFF_SECONDS, help="seconds")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    spells = Spells()
    with asyncio.Runner(loop_factory=lambda: watched_loop(spells)) as runner:
        measured = runner.run(run_crowd(BY_KEY[options.contender], options.count, spells, options.cut_off))
        print(json.dumps(asdict(measured)), flush=True)
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
