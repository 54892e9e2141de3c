from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from demo.environment import clean_environment
from demo.processes import Processes
from tests.chaos.strikes import SLEEP_SECONDS, Killer, Strike

IDLE = "import time; print('up'); time.sleep(100)"
# What Airflow looks like from outside: a scheduler, below it the supervisor of a task, below that the task.
TITLE = "airflow worker -- 01a20d45-2648-78fb-9893-5c01f00c110e"
TASK = f"from setproctitle import setproctitle; setproctitle({TITLE!r}); {IDLE}"
SUPERVISOR = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TASK!r}])"
SCHEDULER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SUPERVISOR!r}]); {IDLE}"


@dataclass
class Stack:
    """As much of an Airflow as is struck here."""

    processes: Processes
    triggerers: list[str] = field(default_factory=lambda: ["triggerer"])

    def run(self, name: str, code: str) -> psutil.Process:
        """Start a component, and return it once it is up with all that is below it."""
        self.processes.start(name, [sys.executable, "-c", code], clean_environment())
        self.processes.wait_until(name, lambda: "up" in self.processes.log(name).read_text(), 20)
        return psutil.Process(self.processes.pid(name))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack without components yet."""
    with Processes(tmp_path, grace=0.5) as processes:
        yield Stack(processes)


def killer(stack: Stack, *names: str) -> Killer:
    """A killer with a plan of these victims, ten seconds apart."""
    return Killer(stack, [Strike(name, 10.0) for name in names], seed=7)  # type: ignore[arg-type]


def eventually(stack: Stack, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    stack.processes.wait_until("it", condition, 20)


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
def test_a_task_or_its_supervisor_is_killed(stack: Stack, victim: str) -> None:
    """The one that is meant dies, and it is counted; the scheduler lives on."""
    scheduler = stack.run("scheduler", SCHEDULER)
    supervisor, task = scheduler.children(recursive=True)
    struck = killer(stack, victim)

    struck.act(0.0)

    dead = task if victim == "worker" else supervisor
    eventually(stack, lambda: not dead.is_running() or dead.status() == psutil.STATUS_ZOMBIE)
    assert victim == "worker" or task.is_running()
    assert scheduler.is_running()
    assert struck.done == {victim: 1}


def test_who_is_not_there_is_waited_for(stack: Stack) -> None:
    """Without a task the plan does not move on, so that a strike counted is a strike done."""
    stack.run("scheduler", IDLE)
    struck = killer(stack, "worker", "triggerer asleep")
    for now in (0.0, 20.0, 40.0):
        struck.act(now)
    assert struck.done.total() == 0


def test_a_triggerer_sleeps_and_wakes(stack: Stack) -> None:
    """It does not move until its time is over, and the next strike is not before the peace after this one."""
    stack.run("scheduler", IDLE)
    triggerer = stack.run("triggerer", IDLE)
    struck = killer(stack, "triggerer asleep", "triggerer asleep")

    struck.act(0.0)
    struck.act(9.0)
    assert struck.done.total() == 1
    eventually(stack, lambda: triggerer.status() == psutil.STATUS_STOPPED)

    struck.wake(SLEEP_SECONDS)
    eventually(stack, lambda: triggerer.status() != psutil.STATUS_STOPPED)
