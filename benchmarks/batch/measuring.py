# SPDX-License-Identifier: Apache-2.0
"""Measures one case: starts it, waits for its end, counts what it has used and what it has landed."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.batch.account import SHA256
from benchmarks.batch.bare import ADDRESS, API_KEY
from benchmarks.batch.cases import BARE, BATCH, IDLE, Case
from benchmarks.batch.database import COUNTED_AFTER_SECONDS
from benchmarks.batch.deployment import ROOT, Deployment
from benchmarks.batch.measured import AIRFLOW, DATABASE, SCRIPT, Measured
from benchmarks.batch.peak_memory import PeakMemory
from benchmarks.batch.rows import completed_at, json_lines
from benchmarks.stub_process import CLIENT_CORE, on_core
from testkit.airflow_stack import FINAL_STATES
from testkit.cpu_usage import used_by
from testkit.environment import clean_environment
from testkit.errors import ServiceError

_POLL_SECONDS = 0.5
# What the last task process does after its task has ended belongs to it.
_SETTLE_SECONDS = 2.0
_TASK_ENDED = "Workload finished"
_WORKERS = "workers"


def measure(deployment: Deployment, case: Case, number: int, idle_seconds: float) -> Measured:
    """Measure one case.

    :param deployment: the running services.
    :param case: what to do.
    :param number: of the round.
    :param idle_seconds: how long to watch an idle Airflow.
    """
    blank = Measured(case.contender, case.count, case.window, number)
    if case.contender == IDLE:
        return _measure_idle(deployment, blank, idle_seconds)
    # Kept until the end: ext4 takes long to find a free inode for minutes after thousands of files were deleted.
    folder = Path(tempfile.mkdtemp(prefix="landed-", dir=deployment.folder))
    before = deployment.requests()
    run = _measure_script if case.contender == BARE else _measure_dag
    measured, began = run(deployment, case, blank, folder)
    sent = {kind: total - before[kind] for kind, total in deployment.requests().items()}
    return replace(measured, requests=sent, **_landed(folder, began))


def _measure_idle(deployment: Deployment, blank: Measured, seconds: float) -> Measured:
    with _counted(deployment) as spent:
        time.sleep(seconds)
    return replace(blank, elapsed=spent.elapsed, cpu=spent.cpu)


def _measure_dag(deployment: Deployment, case: Case, blank: Measured, folder: Path) -> tuple[Measured, float]:
    written, started = deployment.database.state_store_writes(), _task_processes(deployment)
    conf: dict[str, Any] = {"destination": folder.as_uri()}
    conf |= {"requests": str(_requests(deployment, case.count))} if case.contender == BATCH else {"count": case.count}
    with PeakMemory(deployment.stack.processes.pid("scheduler")) as memory, _counted(deployment) as spent:
        run_id = deployment.stack.api.trigger(case.dag_id, conf)
        began = _wait(deployment, case, run_id)
        time.sleep(_SETTLE_SECONDS)
    retried = deployment.database.retried(run_id)
    time.sleep(COUNTED_AFTER_SECONDS)
    writes = {name: total - written.get(name, 0) for name, total in deployment.database.state_store_writes().items()}
    starts = _task_processes(deployment) - started
    measured = replace(blank, elapsed=spent.elapsed, cpu=spent.cpu, starts=starts, retried=retried, writes=writes)
    return replace(measured, peak_mib=memory.mib), began


def _wait(deployment: Deployment, case: Case, run_id: str) -> float:
    """Wait for the end of a DAG run, and return when it was started."""
    limit = 180.0 + case.count * (10.0 if case.is_mapped else 0.5)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        deployment.stack.processes.check()
        state, started = deployment.database.run(run_id)
        if state in FINAL_STATES:
            if state != "success":
                print(f"  the DAG run ended as {state}: its figures are those of what has landed", flush=True)
            return started or time.time()
        time.sleep(_POLL_SECONDS)
    raise ServiceError(f"{case} did not end within {limit:.0f} s. Logs: {deployment.stack.home / 'logs'}")


def _measure_script(deployment: Deployment, case: Case, blank: Measured, folder: Path) -> tuple[Measured, float]:
    arguments = [str(_requests(deployment, case.count)), str(folder), *on_core(CLIENT_CORE)]
    env = clean_environment() | {
        "PYTHONPATH": str(ROOT),
        "SSL_CERT_FILE": str(deployment.certificate),
        ADDRESS: deployment.address,
        API_KEY: deployment.api_key,
    }
    began = time.time()
    command = [sys.executable, "-m", "benchmarks.batch.bare", *arguments]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=60 + case.count)
    found = json.loads(done.stdout)
    elapsed = time.time() - began
    return replace(blank, elapsed=elapsed, cpu={SCRIPT: found["cpu"]}, peak_mib=found["peak_mib"]), began


def _requests(deployment: Deployment, count: int) -> Path:
    file = deployment.folder / f"requests-{count}.jsonl"
    if not file.exists():
        with file.open("w") as lines:
            lines.writelines(json_lines(count))
    return file


def _task_processes(deployment: Deployment) -> int:
    """Count the task processes that have ended since the start of the scheduler, whose log has a line for each."""
    log = deployment.stack.processes.log("scheduler")
    return log.read_text(errors="replace").count(_TASK_ENDED)


def _landed(folder: Path, began: float) -> dict[str, Any]:
    """Check all files, and return how many are right and how long they took."""
    # A file's status changes when it gets its name, which is after its last byte.
    moments = {str(path): path.stat().st_ctime for path in folder.rglob("*.mp4") if _digest(path) == SHA256}
    ends = {path: completed_at(path) for path in moments}
    delays = sorted(moments[path] - end for path, end in ends.items() if end is not None)
    return {
        "landed": len(moments),
        "seconds": max(moments.values(), default=began) - began,
        "delay": statistics.median(delays) if delays else None,
        "delay_p99": delays[int(0.99 * (len(delays) - 1))] if delays else None,
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class _Spent:
    """What was used within a context, once it has ended."""

    elapsed: float = 0.0
    cpu: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def _counted(deployment: Deployment) -> Iterator[_Spent]:
    spent, before, began = _Spent(), _cpu(deployment), time.monotonic()
    yield spent
    after = _cpu(deployment)
    after.subtract(before)
    spent.elapsed, spent.cpu = time.monotonic() - began, dict(after)


def _cpu(deployment: Deployment) -> Counter[str]:
    """Return the CPU seconds of each part until now; a LocalExecutor's workers are children of the scheduler."""
    pids = deployment.stack.processes.pids()
    found = {name: used_by(pids[name]) for name in (*AIRFLOW, DATABASE) if name in pids}
    times = psutil.Process(pids["scheduler"]).cpu_times()
    scheduler = times.user + times.system
    found |= {_WORKERS: found["scheduler"] - scheduler, "scheduler": scheduler}
    return Counter(found)
