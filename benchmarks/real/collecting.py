# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.real.collecting``: eight sensors at once that end on a worker, or in the triggerer.

Both kinds take turns on the same Airflow. Only the end is measured: all wait in the triggerer before EvoLink completes
what they wait for.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.real.deployment import HELD_PACE, Deployment, deployed, submitted
from benchmarks.tables import markdown
from testkit.airflow_stack import FINAL_STATES
from testkit.cpu_usage import Usage
from testkit.interrupts import interrupts

ON_WORKER, IN_TRIGGERER = "bench_on_worker", "bench_in_triggerer"
COUNT = 8
_IDLE_SECONDS = 30.0
_SETTLE_SECONDS = 8.0
_POLL_SECONDS = 4.0  # each answer costs the api-server
_COMPLETING_PACE = 1000.0


@dataclass(frozen=True)
class Collected:
    """What the end of eight sensors has taken.

    :param dag_id: their DAG.
    :param seconds: from EvoLink's completion until the last one has succeeded.
    :param elapsed: seconds that were measured, until a while after that.
    :param cpu: CPU seconds in that time by component; a LocalExecutor's workers are the scheduler's.
    """

    dag_id: str
    seconds: float
    elapsed: float
    cpu: Mapping[str, float]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    interrupts.install()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="evolink-bench-", ignore_cleanup_errors=True) as folder,
        deployed(Path(folder) / "airflow", 0) as deployment,
    ):
        for dag_id in (ON_WORKER, IN_TRIGGERER):
            deployment.stack.wait_for_dag(dag_id)
            deployment.stack.api.unpause(dag_id)
            collect(deployment, dag_id)  # not counted: the first look-ups of every process
        idle = _idle(deployment)
        found = [collect(deployment, dag_id) for _ in range(options.rounds) for dag_id in (ON_WORKER, IN_TRIGGERER)]
        print(report(idle, found))


def collect(deployment: Deployment, dag_id: str) -> Collected:
    """Let EvoLink complete eight generations at once, and watch their sensors end."""
    deployment.held.control.set_speed(HELD_PACE)
    run_id = deployment.stack.api.trigger(dag_id, {"ids": list(submitted(deployment.held, COUNT))})

    def states() -> list[str]:
        return [str(task["state"]) for task in deployment.stack.api.task_instances(dag_id, run_id)]

    deployment.stack.wait_until("the deferrals", lambda: states().count("deferred") == COUNT, 300)
    time.sleep(_SETTLE_SECONDS)
    completed, usage = time.time(), _begun(deployment)
    deployment.held.control.set_speed(_COMPLETING_PACE)
    while not set(states()) <= FINAL_STATES:
        deployment.stack.processes.check()
        time.sleep(_POLL_SECONDS)
    time.sleep(_SETTLE_SECONDS)
    elapsed = time.time() - completed
    ends = [datetime.fromisoformat(task["end_date"]) for task in deployment.stack.api.task_instances(dag_id, run_id)]
    return Collected(dag_id, max(ends).timestamp() - completed, elapsed, usage.seconds())


def _idle(deployment: Deployment) -> dict[str, float]:
    """Return the CPU seconds per second of an Airflow with nothing to do."""
    usage = _begun(deployment)
    time.sleep(_IDLE_SECONDS)
    return {name: used / _IDLE_SECONDS for name, used in usage.seconds().items()}


def _begun(deployment: Deployment) -> Usage:
    usage = Usage(deployment.stack.processes)
    usage.begin()
    return usage


def report(idle: Mapping[str, float], found: Sequence[Collected]) -> str:
    """Return the medians as Markdown, net of what an idle Airflow uses in as much time, and their ratios."""
    parts = [name for name in idle if name != "rows"]
    kinds = {dag_id: [each for each in found if each.dag_id == dag_id] for dag_id in (ON_WORKER, IN_TRIGGERER)}
    seconds = {dag_id: statistics.median(each.seconds for each in runs) for dag_id, runs in kinds.items()}
    cpu = {dag_id: _net(idle, runs, parts) for dag_id, runs in kinds.items()}
    rows: list[tuple[object, ...]] = []
    for dag_id, runs in kinds.items():
        spread = ", ".join(f"{each.seconds:.1f}" for each in runs)
        own = [f"{cpu[dag_id][name]:.2f}" for name in parts]
        total = sum(cpu[dag_id].values())
        rows.append((dag_id, f"{seconds[dag_id]:.1f} ({spread})", f"{total / COUNT:.2f}", *own))
    ratio = sum(cpu[ON_WORKER].values()) / sum(cpu[IN_TRIGGERER].values())
    head = ("ends", "last after s (all rounds)", "CPU-s of each sensor", *(f"{name}, all {COUNT}" for name in parts))
    sooner = seconds[ON_WORKER] / seconds[IN_TRIGGERER]
    return markdown(head, rows) + f"\n\nOn a worker against in the triggerer: CPU {ratio:.1f}, seconds {sooner:.1f}."


def _net(idle: Mapping[str, float], runs: Sequence[Collected], parts: Sequence[str]) -> dict[str, float]:
    return {name: statistics.median(each.cpu[name] - idle[name] * each.elapsed for each in runs) for name in parts}


if __name__ == "__main__":
    main()
