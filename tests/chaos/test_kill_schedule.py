# SPDX-License-Identifier: Apache-2.0
"""The killer kills the right process, on schedule, and counts it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from testkit.environment import clean_environment
from testkit.processes import Processes
from tests.chaos.kill_schedule import SUSPEND_SECONDS, Kill, Killer

IDLE = "import time; print('up'); time.sleep(100)"
# What Airflow looks like from outside: a scheduler, below it the supervisor of a task, below that the task.
TITLE = "airflow worker -- 01a20d45-2648-78fb-9893-5c01f00c110e"
TASK = f"from setproctitle import setproctitle; setproctitle({TITLE!r}); {IDLE}"
SUPERVISOR = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TASK!r}])"
SCHEDULER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SUPERVISOR!r}]); {IDLE}"


@dataclass
class Stack:
    """As much of an Airflow as is killed here."""

    processes: Processes
    triggerers: list[str] = field(default_factory=lambda: ["triggerer"])

    def run(self, name: str, code: str) -> psutil.Process:
        """Start a component, and return it once it and its descendants are up."""
        self.processes.start(name, [sys.executable, "-c", code], clean_environment())
        self.processes.wait_until(name, lambda: "up" in self.processes.log(name).read_text(), 20)
        return psutil.Process(self.processes.pid(name))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack without components yet."""
    with Processes(tmp_path, grace=0.5) as processes:
        yield Stack(processes)


def killer(stack: Stack, *names: str) -> Killer:
    """Return a killer that has these targets on its schedule, ten seconds apart."""
    return Killer(stack, [Kill(name, 10.0) for name in names], seed=7)  # type: ignore[arg-type]


def eventually(stack: Stack, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    stack.processes.wait_until("it", condition, 20)


@pytest.mark.parametrize("target", ["worker", "supervisor"])
def test_a_task_or_its_supervisor_is_killed(stack: Stack, target: str) -> None:
    """The right process dies and is counted; the scheduler survives."""
    scheduler = stack.run("scheduler", SCHEDULER)
    supervisor, task = scheduler.children(recursive=True)
    subject = killer(stack, target)

    subject.act(0.0)

    dead = task if target == "worker" else supervisor
    eventually(stack, lambda: not dead.is_running() or dead.status() == psutil.STATUS_ZOMBIE)
    assert target == "worker" or task.is_running()
    assert scheduler.is_running()
    assert subject.done == {target: 1}


def test_a_missing_target_is_waited_for(stack: Stack) -> None:
    """Without a task its turn comes later, so that every counted kill has happened; others are killed meanwhile."""
    stack.run("scheduler", IDLE)
    stack.run("triggerer", IDLE)
    subject = killer(stack, "worker", "triggerer suspended")
    for now in (0.0, 20.0, 40.0):
        subject.act(now)
    subject.resume()
    assert subject.done == {"triggerer suspended": 1}


def test_a_worker_is_killed_at_its_age(stack: Stack) -> None:
    """A worker that has just started is not killed yet, if the schedule wants an older one."""
    stack.run("scheduler", SCHEDULER)
    subject = Killer(stack, [Kill("worker", 1.0, age=60.0), Kill("worker", 1.0)], seed=7)  # type: ignore[arg-type]
    subject.act(0.0)
    subject.act(2.0)
    assert subject.done == {"worker": 1}


def test_a_triggerer_is_suspended_and_resumed(stack: Stack) -> None:
    """A triggerer stays suspended for its time, and the next kill waits for the pause after this one."""
    stack.run("scheduler", IDLE)
    triggerer = stack.run("triggerer", IDLE)
    subject = killer(stack, "triggerer suspended", "triggerer suspended")

    subject.act(0.0)
    subject.act(9.0)
    assert subject.done.total() == 1
    eventually(stack, lambda: triggerer.status() == psutil.STATUS_STOPPED)

    subject.resume(SUSPEND_SECONDS)
    eventually(stack, lambda: triggerer.status() != psutil.STATUS_STOPPED)
