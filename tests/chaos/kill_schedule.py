# SPDX-License-Identifier: Apache-2.0
"""What is killed when: a schedule that follows from the seed, and its execution."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from tests.crash.stack import CrashStack
from tests.crash.targets import API_SERVER, DATABASE, MACHINE, SCHEDULER, Target

ROUNDS, BATCH_ROUNDS = 5, 3
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
# A batch has one worker at a time, for some seconds now and then.
_SOON_FOR_BATCHES, MAX_AGE = (4.0, 10.0), 5.0


def _round(soon: tuple[float, float]) -> tuple[ScheduledTarget, ...]:
    return (
        ScheduledTarget("worker", 7, soon),
        ScheduledTarget("supervisor", 4, soon),
        ScheduledTarget("triggerer", 2, soon),
        ScheduledTarget("triggerer suspended", 1, soon),
        *(ScheduledTarget(target.name, 1, _LATER) for target in _CRASH_TARGETS),
    )


ROUND, BATCH_ROUND = _round(_SOON), _round(_SOON_FOR_BATCHES)


@dataclass(frozen=True)
class Kill:
    """One kill.

    :param target: name of the target.
    :param pause: seconds until the next kill.
    :param age: seconds for which a worker has to have lived, so that it is not killed only while it starts.
    """

    target: str
    pause: float
    age: float = 0.0


def schedule(seed: int, rounds: int = ROUNDS) -> list[Kill]:
    """Shuffle round after round, so that every target gets its turn."""
    return _shuffled(random.Random(seed), ROUND, rounds)


def batch_schedule(seed: int, rounds: int = BATCH_ROUNDS) -> list[Kill]:
    """Return a schedule whose workers live long enough to do something."""
    rng = random.Random(seed)
    return [replace(kill, age=rng.uniform(0, MAX_AGE)) for kill in _shuffled(rng, BATCH_ROUND, rounds)]


def _shuffled(rng: random.Random, targets: Sequence[ScheduledTarget], rounds: int) -> list[Kill]:
    kills = []
    for _ in range(rounds):
        kills_of_round = [
            Kill(entry.target, rng.uniform(*entry.pauses)) for entry in targets for _ in range(entry.times)
        ]
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
        self._actions: dict[str, Callable[[Kill, float], bool]] = {
            "worker": lambda kill, _now: self._kill_task(kill, lambda task: task.pid),
            "supervisor": lambda kill, _now: self._kill_task(kill, lambda task: task.ppid()),
            "triggerer": self._kill_triggerer,
            "triggerer suspended": self._suspend_triggerer,
            **{target.name: self._from_crash_suite(target) for target in _CRASH_TARGETS},
        }

    def act(self, now: float) -> None:
        """Kill the next target that exists, if it is time; resume what was suspended long enough."""
        self._schedulers.add(self._stack.processes.pid("scheduler"))
        self.resume(now)
        if now < self._next_at:
            return
        kill = next((kill for kill in self._schedule if self._has_killed(kill, now)), None)
        if kill is not None:
            self.done[kill.target] += 1
            self._log(f"{now:5.0f} s: {kill.target}")
            self._next_at = now + kill.pause
            self._schedule.remove(kill)

    def _has_killed(self, kill: Kill, now: float) -> bool:
        with suppress(psutil.Error, ProcessLookupError, IndexError):
            return self._actions[kill.target](kill, now)
        return False

    def resume(self, now: float = float("inf")) -> None:
        """Resume what was suspended until now; without a time, everything."""
        for until, process in self._suspended:
            if until <= now:
                with suppress(psutil.Error):
                    process.resume()
        self._suspended = [(until, process) for until, process in self._suspended if until > now]

    def _kill_task(self, kill: Kill, pid_of: Callable[[psutil.Process], int]) -> bool:
        latest_start = time.time() - kill.age
        tasks = [task for task in self._tasks() if task.create_time() <= latest_start]
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

    def _kill_triggerer(self, _kill: Kill, _now: float) -> bool:
        name = self._rng.choice(self._stack.triggerers)
        self._stack.kill(name)
        self._stack.start(name)
        return True

    def _suspend_triggerer(self, _kill: Kill, now: float) -> bool:
        triggerer = psutil.Process(self._stack.processes.pid(self._rng.choice(self._stack.triggerers)))
        for process in (triggerer, *triggerer.children(recursive=True)):
            process.suspend()
            self._suspended.append((now + SUSPEND_SECONDS, process))
        return True

    def _from_crash_suite(self, target: Target) -> Callable[[Kill, float], bool]:
        def disrupt(_kill: Kill, _now: float) -> bool:
            target.disrupt(self._stack, ())
            return True

        return disrupt
