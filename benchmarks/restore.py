# SPDX-License-Identifier: Apache-2.0
"""A triggerer that takes over ten thousand generations at once, all of them long overdue.

Called by :mod:`benchmarks.harness` as ``python -m benchmarks.restore``; prints the measurement as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass

from benchmarks.child import StubCounts
from benchmarks.contenders import BATCH, BY_KEY
from benchmarks.jobs import Job
from benchmarks.lag import Spells, watched_loop
from benchmarks.triggerer import Triggerer

COUNT = 10_000
WATCHED_SECONDS = 10.0
_AGE, _DURATION = 600_000, 900_000


@dataclass(frozen=True, slots=True)
class Restored:
    """The cost of taking over.

    :param count: number of triggers.
    :param start_seconds: until all were started.
    :param longest_block: longest time in seconds for which the loop was busy.
    :param own_block: the same in CPU time, without that of Python's collector.
    :param lookups: look-ups of the Airflow connection.
    :param requests: in the first ten seconds.
    :param connections: opened in the first ten seconds.
    :param cpu_seconds: in the first ten seconds.
    """

    count: int
    start_seconds: float
    longest_block: float
    own_block: float
    lookups: int
    requests: int
    connections: int
    cpu_seconds: float


async def restore(count: int, spells: Spells) -> Restored:
    """Start the triggers as the triggerer does: one after the other, yielding to the loop in between."""
    counts, triggerer, make = StubCounts(), Triggerer(), BY_KEY[BATCH].make
    make(Job(0, 0, 0))
    await asyncio.sleep(0.1)
    spells.reset()
    cpu, start = time.process_time(), time.time()
    for number in range(count):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        triggerer.start(number, make(Job(int(start * 1000) - _AGE, _DURATION, number)))
    started = time.time() - start
    await asyncio.sleep(WATCHED_SECONDS - started)
    cpu, longest, own = time.process_time() - cpu, max(spells.busy), max(spells.own)
    added = await asyncio.to_thread(counts.read)
    return Restored(count, started, longest, own, triggerer.lookups, cpu_seconds=cpu, **added)


def main() -> None:
    """Measure, print, and exit with all of them running."""
    parser = argparse.ArgumentParser(description="ten thousand overdue triggers")
    parser.add_argument("count", type=int)
    parser.add_argument("--core", type=int, help="CPU core to run on")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    spells = Spells()
    with asyncio.Runner(loop_factory=lambda: watched_loop(spells)) as runner:
        print(json.dumps(asdict(runner.run(restore(options.count, spells)))), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
