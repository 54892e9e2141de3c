# SPDX-License-Identifier: Apache-2.0
"""How long a triggerer takes to start thousands of triggers, and what it uses while they wait."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks.real.deployment import Deployment
from benchmarks.real.rows import DAG_ID

OURS, SLEEPING = "provider", "sleeping"
SETTLE_SECONDS = 12.0
WINDOW_SECONDS = 20.0
_STARTUP_TIMEOUT = 180.0
_COUNT_LINE = b"currently running"  # Airflow's own, twice a minute
_HEARTBEAT = "TriggerStateChanges"  # Airflow's own, about once a second


@dataclass(frozen=True)
class CaseResult:
    """The cost of one case.

    :param kind: ``provider`` or ``sleeping``.
    :param count: number of triggers.
    :param startup: seconds from the first trigger's start to the last one's.
    :param cpu: percent of a core while all wait, by process.
    :param rss: MiB, by process.
    :param files: open file descriptors, by process.
    :param requests: requests to EvoLink in the window.
    :param heartbeats: messages to the supervisor that Airflow sends by itself, in the window.
    :param messages: all other messages in the window.
    :param lines: log lines of triggers and triggerer in the window.
    :param start_messages: messages until all were started and had settled, without heartbeats.
    """

    kind: str
    count: int
    startup: float
    cpu: dict[str, float]
    rss: dict[str, float]
    files: dict[str, int]
    requests: int
    heartbeats: int
    messages: int
    lines: int
    start_messages: dict[str, int]


def wait(deployment: Deployment, kind: str, count: int, number: int) -> CaseResult:
    """Measure one case.

    :param deployment: the running services.
    :param kind: ``provider`` or ``sleeping``.
    :param count: number of triggers.
    :param number: of the case, for the run id.
    """
    run_id = f"{kind}-{count}-{number}"
    deployment.stack.stop("triggerer")
    deployment.defer(run_id, count if kind == SLEEPING else 0, count if kind == OURS else 0)
    deployment.messages.write_text("")
    deployment.stack.start("triggerer")
    folder = deployment.stack.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={run_id}"
    deployment.stack.wait_until(f"{count} triggers", lambda: len(_logs(folder)) >= count, _STARTUP_TIMEOUT)
    time.sleep(SETTLE_SECONDS)
    starts = sorted(moment for log in _logs(folder) for moment, event in events(log) if event.endswith("starting"))
    before = _State.of(deployment, folder)
    time.sleep(WINDOW_SECONDS)
    after = _State.of(deployment, folder)
    return CaseResult(
        kind=kind,
        count=len(starts),
        startup=starts[-1] - starts[0],
        cpu={name: (after.cpu[name] - used) / (after.at - before.at) * 100 for name, used in before.cpu.items()},
        rss=after.rss,
        files=after.files,
        requests=after.requests - before.requests,
        heartbeats=after.messages[_HEARTBEAT] - before.messages[_HEARTBEAT],
        messages=_others(after.messages) - _others(before.messages),
        lines=after.lines - before.lines,
        start_messages={name: sent for name, sent in before.messages.items() if name != _HEARTBEAT},
    )


def events(log: Path) -> Iterator[tuple[float, str]]:
    """Read the structured log of Airflow: seconds since the epoch, and the event."""
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            yield datetime.fromisoformat(entry["timestamp"]).timestamp(), str(entry["event"])


@dataclass(frozen=True)
class _State:
    """What was used, sent and written until a moment."""

    at: float
    cpu: dict[str, float]
    rss: dict[str, float]
    files: dict[str, int]
    requests: int
    messages: Counter[str]
    lines: int

    @classmethod
    def of(cls, deployment: Deployment, folder: Path) -> _State:
        supervisor = psutil.Process(deployment.stack.processes.pid("triggerer"))
        postgres = psutil.Process(deployment.stack.processes.pid("postgres"))
        [runner, *_] = sorted(supervisor.children(), key=lambda child: -child.memory_info().rss)
        parts = {"supervisor": [supervisor], "runner": [runner], "postgres": [postgres, *postgres.children()]}
        logs = [*_logs(folder), deployment.stack.processes.log("triggerer")]
        lines = [line for log in logs for line in log.read_bytes().splitlines() if _COUNT_LINE not in line]
        return cls(
            at=time.time(),
            cpu={name: sum(map(_cpu, members)) + _ended_children(name, postgres) for name, members in parts.items()},
            rss={
                name: sum(process.memory_info().rss for process in members) / 2**20 for name, members in parts.items()
            },
            files={name: members[0].num_fds() for name, members in parts.items()},
            requests=deployment.held.control.state()["requests"]["total"],
            messages=Counter(line.split()[1] for line in deployment.messages.read_text().splitlines()),
            lines=len(lines),
        )


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _ended_children(name: str, postgres: psutil.Process) -> float:
    """Return the CPU time of PostgreSQL's closed connections, which count with their parent."""
    times = postgres.cpu_times()
    return float(times.children_user + times.children_system) if name == "postgres" else 0.0


def _others(messages: Counter[str]) -> int:
    return messages.total() - messages[_HEARTBEAT]


def _logs(folder: Path) -> list[Path]:
    return list(folder.glob("task_id=*/map_index=*/*.trigger.*"))
