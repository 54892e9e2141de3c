# SPDX-License-Identifier: Apache-2.0
"""What is killed, and what a user does instead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.crash.checkpoints import FAIL, Arrival
from tests.crash.failpoints import Failpoint
from tests.crash.run import Run
from tests.crash.stack import CrashStack

Disruption = Callable[[CrashStack, Sequence[Run]], None]

_LAST_SECONDS = 60.0
_MOVE_SECONDS = 120.0
_POLL_SECONDS = 0.3


@dataclass(frozen=True, eq=False)
class Target:
    """One way to disrupt runs.

    :param name: for the table.
    :param disrupt: disrupts runs that are at their failpoints.
    :param applies_to: whether it makes sense at a failpoint.
    :param ends_run: whether it ends the run, so that the result has to be fetched by a clear.
    :param releases: whether halted processes that survive are released afterwards.
    :param moves_trigger: whether a waiting trigger only moves to another triggerer: the task has not ended.
    :param afterwards: runs when all runs have ended, before the invariants are checked.
    :param arguments: operator arguments, in addition to those of all runs.
    """

    name: str
    disrupt: Disruption
    applies_to: Callable[[Failpoint], bool] = lambda _point: True
    ends_run: bool = False
    releases: bool = True
    moves_trigger: bool = False
    afterwards: Disruption = lambda _stack, _runs: None
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _kill_workers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.arrival
        os.kill(run.arrival.pid, signal.SIGKILL)


def _fail_workers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    """Kill nothing: the task raises an error, and Airflow retries it."""
    for run in runs:
        assert run.arrival
        os.kill(run.arrival.pid, FAIL)


def _kill_supervisors(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.arrival
        os.kill(run.arrival.parent, signal.SIGKILL)


def _kill_supervisors_and_suspend_workers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """Kill the supervisors and suspend the workers, which notice nothing, as on a paused machine, until the end."""
    _kill_supervisors(stack, runs)
    for run in runs:
        assert run.arrival
        run.suspended = psutil.Process(run.arrival.pid)
        # Not earlier: the kernel resumes and kills a suspended process whose parent dies.
        while run.suspended.ppid() == run.arrival.parent:
            time.sleep(_POLL_SECONDS)
        run.suspended.suspend()


def _resume_workers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    """Let the suspended workers do what they were about to do, long after others have done it."""
    for run in runs:
        assert run.suspended
        run.suspended.resume()
    _wait_until(
        "the resumed workers have ended", lambda: not any(_is_alive(run.suspended) for run in runs), _LAST_SECONDS
    )


def _is_alive(process: psutil.Process | None) -> bool:
    with suppress(psutil.Error):
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kill_triggerers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """Kill the triggerers that hold the runs' triggers, or any triggerer if there are none."""
    holding = [name for name in stack.triggerers if _held(stack, name, runs)]
    for name in holding or stack.triggerers[:1]:
        stack.kill(name)
        stack.start(name)


def _pause_triggerers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """Pause each triggerer that holds triggers until they have moved; it then finds that they belong to another."""
    for name in stack.triggerers:
        _move_triggers(stack, name, runs)


def _move_triggers(stack: CrashStack, name: str, runs: Sequence[Run]) -> None:
    held = _held(stack, name, runs)
    with _paused(stack, name):
        _wait_until("all triggers have moved", lambda: not _held(stack, name, runs), _MOVE_SECONDS)
    _wait_until("all triggers are cleaned up", lambda: all(_has_left(stack, name, run) for run in held), _MOVE_SECONDS)


@contextmanager
def _paused(stack: CrashStack, name: str) -> Iterator[None]:
    parent = psutil.Process(stack.processes.pid(name))
    members = [parent, *parent.children(recursive=True)]
    for member in members:
        member.suspend()
    yield
    for member in members:
        member.resume()


def _held(stack: CrashStack, name: str, runs: Sequence[Run]) -> list[Run]:
    """Return the runs whose triggers are in a triggerer."""
    return [run for run in runs if not run.failpoint.on_worker and _is_in(stack, name, run.arrival)]


def _has_left(stack: CrashStack, name: str, run: Run) -> bool:
    return _is_in(stack, name, run.checkpoints.arrival("left"))


def _is_in(stack: CrashStack, name: str, arrival: Arrival | None) -> bool:
    return arrival is not None and os.getsid(arrival.pid) == stack.processes.pid(name)


def _wait_until(what: str, holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"timed out waiting until {what}"
        time.sleep(_POLL_SECONDS)


def _kill_scheduler(stack: CrashStack, _runs: Sequence[Run]) -> None:
    """Kill the scheduler alone: its workers go on without it."""
    stack.processes.crash("scheduler")
    stack.start("scheduler")


def _kill_machine(stack: CrashStack, _runs: Sequence[Run]) -> None:
    """Kill the scheduler with all its workers, their supervisors and tasks, as a lost machine would."""
    stack.kill("scheduler")
    stack.start("scheduler")


def _kill_api_server(stack: CrashStack, _runs: Sequence[Run]) -> None:
    stack.kill("api-server")
    stack.start("api-server")


def _kill_database(stack: CrashStack, _runs: Sequence[Run]) -> None:
    """Kill a backend: PostgreSQL then drops every connection and recovers."""
    backends = [process for process in psutil.Process(stack.processes.pid("postgres")).children() if _serves(process)]
    backends[0].kill()


def _serves(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "airflow" in " ".join(process.cmdline())
    return False


def _clear(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        run.clear()


def _mark_failed(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        run.mark("failed")


def _mark_success(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        run.mark("success")


def _has_worker(failpoint: Failpoint) -> bool:
    return failpoint.on_worker


def _has_trigger(failpoint: Failpoint) -> bool:
    return not failpoint.on_worker


def _resumes_after_unknown(failpoint: Failpoint) -> bool:
    """Return whether an attempt resumes after an unknown outcome; with ``fail`` it may have to stop instead."""
    return not failpoint.fails_on_unknown


WORKER = Target("worker", _kill_workers, _has_worker)
SUPERVISOR = Target("supervisor", _kill_supervisors, _has_worker)
SUSPENDED_WORKER = Target(
    "supervisor; worker resumes late", _kill_supervisors_and_suspend_workers, _has_worker, afterwards=_resume_workers
)
ERROR = Target("(error, retried)", _fail_workers, _has_worker)
TRIGGERER = Target("triggerer", _kill_triggerers, _resumes_after_unknown, moves_trigger=True)
PAUSED_TRIGGERER = Target("triggerer, paused", _pause_triggerers, _has_trigger, moves_trigger=True)
SCHEDULER = Target("scheduler", _kill_scheduler, _resumes_after_unknown)
MACHINE = Target("scheduler and workers", _kill_machine)
API_SERVER = Target("api-server", _kill_api_server, _resumes_after_unknown)
DATABASE = Target("database connection", _kill_database, _resumes_after_unknown)
CLEAR = Target("(cleared)", _clear, _resumes_after_unknown, moves_trigger=True)
MARK_FAILED = Target("(marked failed)", _mark_failed, _resumes_after_unknown, ends_run=True)
MARK_SUCCESS = Target("(marked success)", _mark_success, _resumes_after_unknown, ends_run=True)
# The trigger hangs. Airflow's own limit is a minute after the operator's.
DEFERRAL_TIMEOUT = Target(
    "(deferral timed out)",
    lambda _stack, _runs: None,
    lambda failpoint: failpoint.halt == "event",
    releases=False,
    arguments={"timeout": 1.0},
)
TARGETS = (
    WORKER,
    SUPERVISOR,
    SUSPENDED_WORKER,
    ERROR,
    TRIGGERER,
    PAUSED_TRIGGERER,
    SCHEDULER,
    MACHINE,
    API_SERVER,
    DATABASE,
    CLEAR,
    MARK_FAILED,
    MARK_SUCCESS,
    DEFERRAL_TIMEOUT,
)
