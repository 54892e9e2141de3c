# SPDX-License-Identifier: Apache-2.0
"""What is killed when: a schedule that follows from the seed, and its execution."""

from __future__ import annotations

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.crash.stack import CrashStack
from tests.crash.targets import API_SERVER, DATABASE, MACHINE, SCHEDULER, Target

ROUNDS = 5
# Twice the time after which an unresponsive triggerer counts as dead.
SUSPEND_SECONDS = 25.0
_TASK = re.compile(r"airflow worker -- [0-9a-f]{8}-[0-9a-f-]{27}\s*")


@dataclass(frozen=True)
class ScheduledTarget:
    """A target and how often it is killed.

    :param target: its name.
    :param times: kills per round.
    :param pauses: range of seconds until the next kill: an Airflow that never recovers would prove nothing.
    """

    target: str
    times: int
    pauses: tuple[float, float]


_CRASH_TARGETS = (DATABASE, API_SERVER, SCHEDULER, MACHINE)
_SOON, _LATER = (1.5, 4.0), (12.0, 24.0)
ROUND = (
    ScheduledTarget("worker", 7, _SOON),
    ScheduledTarget("supervisor", 4, _SOON),
    ScheduledTarget("triggerer", 2, _SOON),
    ScheduledTarget("triggerer suspended", 1, _SOON),
    *(ScheduledTarget(target.name, 1, _LATER) for target in _CRASH_TARGETS),
)


@dataclass(frozen=True)
class Kill:
    """One kill.

    :param target: name of the target.
    :param pause: seconds until the next kill.
    """

    target: str
    pause: float


def schedule(seed: int, rounds: int = ROUNDS) -> list[Kill]:
    """Shuffle round after round, so that every target gets its turn."""
    rng = random.Random(seed)
    kills = []
    for _ in range(rounds):
        kills_of_round = [Kill(entry.target, rng.uniform(*entry.pauses)) for entry in ROUND for _ in range(entry.times)]
        rng.shuffle(kills_of_round)
        kills += kills_of_round
    return kills


class Killer:
    """Executes a schedule, while its caller restarts what has died.

    :param stack: the Airflow to kill in.
    :param kills: the schedule.
    :param seed: selects one of several candidates.
    :param log: called with a line for each kill.
    """

    def __init__(self, stack: CrashStack, kills: Sequence[Kill], seed: int, log: Callable[[str], object] = str) -> None:
        self.done: Counter[str] = Counter()
        self._stack = stack
        self._log = log
        self._schedule = list(kills)
        self._rng = random.Random(seed)
        self._next_at = 0.0
        self._schedulers: set[int] = set()
        self._suspended: list[tuple[float, psutil.Process]] = []
        self._actions: dict[str, Callable[[float], bool]] = {
            "worker": lambda _now: self._kill_task(lambda task: task.pid),
            "supervisor": lambda _now: self._kill_task(lambda task: task.ppid()),
            "triggerer": self._kill_triggerer,
            "triggerer suspended": self._suspend_triggerer,
            **{target.name: self._from_crash_suite(target) for target in _CRASH_TARGETS},
        }

    def act(self, now: float) -> None:
        """Kill if it is time and the target exists; resume what was suspended long enough."""
        self._schedulers.add(self._stack.processes.pid("scheduler"))
        self.resume(now)
        if not self._schedule or now < self._next_at:
            return
        kill = self._schedule[0]
        with suppress(psutil.Error, ProcessLookupError, IndexError):
            if self._actions[kill.target](now):
                self.done[kill.target] += 1
                self._log(f"{now:5.0f} s: {kill.target}")
                self._next_at = now + kill.pause
                del self._schedule[0]

    def resume(self, now: float = float("inf")) -> None:
        """Resume what was suspended until now; without a time, everything."""
        for until, process in self._suspended:
            if until <= now:
                with suppress(psutil.Error):
                    process.resume()
        self._suspended = [(until, process) for until, process in self._suspended if until > now]

    def _kill_task(self, pid_of: Callable[[psutil.Process], int]) -> bool:
        tasks = list(self._tasks())
        if not tasks:
            return False
        os.kill(pid_of(self._rng.choice(tasks)), signal.SIGKILL)
        return True

    def _tasks(self) -> Iterator[psutil.Process]:
        """Find the task processes, also those of dead schedulers; the parent of each is its supervisor."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                is_task = _TASK.fullmatch(" ".join(process.cmdline())) is not None
                if is_task and os.getsid(process.pid) in self._schedulers:
                    yield process

    def _kill_triggerer(self, _now: float) -> bool:
        name = self._rng.choice(self._stack.triggerers)
        self._stack.kill(name)
        self._stack.start(name)
        return True

    def _suspend_triggerer(self, now: float) -> bool:
        triggerer = psutil.Process(self._stack.processes.pid(self._rng.choice(self._stack.triggerers)))
        for process in (triggerer, *triggerer.children(recursive=True)):
            process.suspend()
            self._suspended.append((now + SUSPEND_SECONDS, process))
        return True

    def _from_crash_suite(self, target: Target) -> Callable[[float], bool]:
        def disrupt(_now: float) -> bool:
            target.disrupt(self._stack, ())
            return True

        return disrupt
