"""Who is killed, and what a person does instead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.crash.marks import FAIL, Caught
from tests.crash.points import EVENT, Point
from tests.crash.run import Run
from tests.crash.stack import CrashStack

Strike = Callable[[CrashStack, Sequence[Run]], None]

_LAST_SECONDS = 60.0
_MOVE_SECONDS = 120.0
_POLL_SECONDS = 0.3


@dataclass(frozen=True, eq=False)
class Victim:
    """One way to disturb runs.

    :param name: for the table.
    :param strike: does it to runs that are at their points.
    :param strikes_at: whether it strikes at a point.
    :param stops: whether it ends the run, so that the result has to be fetched by a clear.
    :param lets_go: whether who was halted may go on after it, if he still lives.
    :param moves: whether the trigger only goes elsewhere, if one waits: nobody has ended the task.
    :param afterwards: what happens when all runs are over, before they are judged.
    :param wishes: arguments of the operator, beside those that all runs have.
    """

    name: str
    strike: Strike
    strikes_at: Callable[[Point], bool] = lambda _point: True
    stops: bool = False
    lets_go: bool = True
    moves: bool = False
    afterwards: Strike = lambda _stack, _runs: None
    wishes: Mapping[str, Any] = field(default_factory=dict)


def _kill_workers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.caught
        os.kill(run.caught.pid, signal.SIGKILL)


def _fail_workers(_stack: CrashStack, runs: Sequence[Run]) -> None:
    """Nobody dies: the task ends with an error, and Airflow retries it."""
    for run in runs:
        assert run.caught
        os.kill(run.caught.pid, FAIL)


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
    _wait_until("the woken have ended", lambda: not any(_is_alive(run.sleeper) for run in runs), _LAST_SECONDS)


def _is_alive(process: psutil.Process | None) -> bool:
    with suppress(psutil.Error):
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kill_triggerers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """Kill those in which the runs' triggers are; any one, if there is none."""
    holding = [name for name in stack.triggerers if _held(stack, name, runs)]
    for name in holding or stack.triggerers[:1]:
        stack.kill(name)
        stack.start(name)


def _pause_triggerers(stack: CrashStack, runs: Sequence[Run]) -> None:
    """Pause each that holds triggers until they are elsewhere; it then finds that they are no longer its own."""
    for name in stack.triggerers:
        _drive_out(stack, name, runs)


def _drive_out(stack: CrashStack, name: str, runs: Sequence[Run]) -> None:
    held = _held(stack, name, runs)
    with _paused(stack, name):
        _wait_until("all are elsewhere", lambda: not _held(stack, name, runs), _MOVE_SECONDS)
    _wait_until("all have left", lambda: all(_has_left(stack, name, run) for run in held), _MOVE_SECONDS)


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
    return [run for run in runs if not run.point.on_worker and _is_in(stack, name, run.caught)]


def _has_left(stack: CrashStack, name: str, run: Run) -> bool:
    return _is_in(stack, name, run.marks.caught("left"))


def _is_in(stack: CrashStack, name: str, caught: Caught | None) -> bool:
    return caught is not None and os.getsid(caught.pid) == stack.processes.pid(name)


def _wait_until(what: str, is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"it has not come to it that {what}"
        time.sleep(_POLL_SECONDS)


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


def _has_worker(point: Point) -> bool:
    return point.on_worker


def _has_trigger(point: Point) -> bool:
    return not point.on_worker


def _ends_no_try(point: Point) -> bool:
    """A try that may go on settles its submission itself: whether there is anything to stop for is open then."""
    return not point.would_rather_stop


WORKER = Victim("worker", _kill_workers, _has_worker)
SUPERVISOR = Victim("supervisor", _kill_supervisors, _has_worker)
SLEEPER = Victim("supervisor; worker wakes late", _kill_supervisors_of_sleepers, _has_worker, afterwards=_wake_sleepers)
ERROR = Victim("(error, retried)", _fail_workers, _has_worker)
TRIGGERER = Victim("triggerer", _kill_triggerers, _ends_no_try, moves=True)
PAUSED_TRIGGERER = Victim("triggerer, paused", _pause_triggerers, _has_trigger, moves=True)
SCHEDULER = Victim("scheduler", _kill_scheduler, _ends_no_try)
MACHINE = Victim("scheduler and workers", _kill_machine)
API_SERVER = Victim("api-server", _kill_api_server, _ends_no_try)
DATABASE = Victim("database connection", _kill_database, _ends_no_try)
CLEAR = Victim("(cleared)", _clear, _ends_no_try, moves=True)
MARK_FAILED = Victim("(marked failed)", _mark_failed, _ends_no_try, stops=True)
MARK_SUCCESS = Victim("(marked success)", _mark_success, _ends_no_try, stops=True)
# The trigger hangs for ever. Airflow's own limit is a minute behind the operator's.
DEFERRAL_TIMEOUT = Victim(
    "(deferral timed out)",
    lambda _stack, _runs: None,
    lambda point: point is EVENT,
    lets_go=False,
    wishes={"timeout": 1.0},
)
VICTIMS = (
    WORKER,
    SUPERVISOR,
    SLEEPER,
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
