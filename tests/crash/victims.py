"""Who is killed, and what a person does instead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.crash.run import Run
from tests.crash.stack import CrashStack

Strike = Callable[[CrashStack, Sequence[Run]], None]

_LAST_SECONDS = 60.0
_POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Victim:
    """One way to disturb runs.

    :param name: for the table.
    :param strike: does it to runs that are at their points.
    :param needs_worker: whether it strikes only where a worker is.
    :param stops: whether it ends the run, so that the result has to be fetched by a clear.
    :param lets_go: whether who was halted may go on after it, if he still lives.
    :param afterwards: what happens when all runs are over, before they are judged.
    :param timeout: the operator's, in seconds.
    """

    name: str
    strike: Strike
    needs_worker: bool = False
    stops: bool = False
    lets_go: bool = True
    afterwards: Strike = lambda _stack, _runs: None
    timeout: float = 1800.0


def _kill_workers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.caught
        os.kill(run.caught.pid, signal.SIGKILL)


def _kill_supervisors(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.caught
        os.kill(run.caught.parent, signal.SIGKILL)


def _kill_supervisors_of_sleepers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """The worker does not even notice: it sleeps, as on a machine that is paused, until everything is over."""
    _kill_supervisors(stack, runs)
    for run in runs:
        assert run.caught
        run.sleeper = psutil.Process(run.caught.pid)
        # Only then: the kernel wakes and kills whoever sleeps while his parent dies.
        while run.sleeper.ppid() == run.caught.parent:
            time.sleep(_POLL_SECONDS)
        run.sleeper.suspend()


def _wake_sleepers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    """Let them do what they were about to do, long after others have done it."""
    for run in runs:
        assert run.sleeper
        run.sleeper.resume()
    end = time.monotonic() + _LAST_SECONDS
    while alive := [run.point.name for run in runs if _is_alive(run.sleeper)]:
        assert time.monotonic() < end, f"woken, and still there: {alive}"
        time.sleep(_POLL_SECONDS)


def _is_alive(process: psutil.Process | None) -> bool:
    with suppress(psutil.Error):
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kill_triggerers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """Kill those in which the runs' triggers are; any one, if there is none."""
    sessions = {os.getsid(run.caught.pid) for run in runs if run.caught and not run.point.on_worker}
    holding = [name for name in stack.triggerers if stack.processes.pid(name) in sessions]
    for name in holding or stack.triggerers[:1]:
        stack.kill(name)
        stack.start(name)


def _kill_scheduler(stack: CrashStack, _runs: Sequence[Run]) -> None:
    """Kill it alone: its workers go on without it."""
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
    """Kill a backend: PostgreSQL then drops every connection, and recovers."""
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


WORKER = Victim("worker", _kill_workers, needs_worker=True)
SUPERVISOR = Victim("supervisor", _kill_supervisors, needs_worker=True)
SLEEPER = Victim(
    "supervisor; worker wakes late", _kill_supervisors_of_sleepers, needs_worker=True, afterwards=_wake_sleepers
)
TRIGGERER = Victim("triggerer", _kill_triggerers)
SCHEDULER = Victim("scheduler", _kill_scheduler)
MACHINE = Victim("scheduler and workers", _kill_machine)
API_SERVER = Victim("api-server", _kill_api_server)
DATABASE = Victim("database connection", _kill_database)
CLEAR = Victim("(cleared)", _clear)
MARK_FAILED = Victim("(marked failed)", _mark_failed, stops=True)
MARK_SUCCESS = Victim("(marked success)", _mark_success, stops=True)
# The trigger hangs for ever. Airflow's own limit is a minute behind the operator's.
DEFERRAL_TIMEOUT = Victim("(deferral timed out)", lambda _stack, _runs: None, lets_go=False, timeout=1.0)
VICTIMS = (
    WORKER,
    SUPERVISOR,
    SLEEPER,
    TRIGGERER,
    SCHEDULER,
    MACHINE,
    API_SERVER,
    DATABASE,
    CLEAR,
    MARK_FAILED,
    MARK_SUCCESS,
    DEFERRAL_TIMEOUT,
)
