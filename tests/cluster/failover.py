# SPDX-License-Identifier: Apache-2.0
"""One run of the DAG on the cluster, in three phases, so that each can be timed.

All generations are submitted and wait; meanwhile a worker and a scheduler are killed. When all wait, a triggerer is
killed. After the failover, EvoLink completes all of them at once, and they are landed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from testkit.cpu_usage import Usage
from tests.chaos import prompts
from tests.chaos.experiment import DAG, Experiment
from tests.cluster.database import Database
from tests.cluster.report import Figures, TakeOver
from tests.cluster.stack import SCHEDULERS, TRIGGERERS, WORKERS

HELD = 1e-4  # a pace at which nothing completes
REAL = 1.0
_AGE = 900.0  # emulated seconds after which every generation is completed
_TICK_SECONDS, _PROGRESS_SECONDS = 0.5, 20.0
# Shares of submissions at which a worker and a scheduler are killed.
_WORKER_AT, _SCHEDULER_AT = 0.25, 0.6


class TooSlowError(Exception):
    """The run did not end in time."""


@dataclass
class FailoverExperiment(Experiment):
    """A run of the DAG.

    :param database: of its Airflow.
    :param limit: seconds for the whole run.
    """

    database: Database = field(kw_only=True)
    limit: float = field(kw_only=True)

    def __post_init__(self) -> None:
        self.count = prompts.count()
        self.usage = Usage(self.stack.processes)
        self.take_overs: list[TakeOver] = []
        self._open: list[tuple[TakeOver, float, Callable[[], bool]]] = []
        self._began = self._logged_at = 0.0

    def run(self) -> Figures:
        """Run the DAG, and return the figures.

        :raises TooSlowError: it did not end in time.
        """
        self._began = time.monotonic()
        self.usage.begin()
        self.run_id = self.stack.api.trigger(DAG, {"destination": str(self.destination)})
        deferred = self._submit()
        self._kill_triggerer()
        self._wait("the failover", lambda: not self._open)
        landing = self._land()
        return Figures(
            count=self.count,
            deferred=deferred,
            landing=landing,
            total=time.monotonic() - self._began,
            take_overs=tuple(self.take_overs),
            cpu=self.usage.seconds(),
            database_bytes=self.database.size(),
        )

    def _submit(self) -> float:
        self._wait("the first submissions", lambda: self._accepted() >= _WORKER_AT * self.count)
        self._kill_worker()
        self._wait("more submissions", lambda: self._accepted() >= _SCHEDULER_AT * self.count)
        self._kill_scheduler()
        self._wait("all to wait", lambda: self._in_state("generate", "deferred") == self.count)
        seconds = time.monotonic() - self._began
        self._wait("the failovers", lambda: not self._open)
        return seconds

    def _land(self) -> float:
        began = time.monotonic()
        self.evolink.control.set_speed(REAL)
        self.evolink.control.advance(_AGE)
        self._wait("all to land", lambda: self._in_state("land", "success") == self.count)
        seconds = time.monotonic() - began
        self._wait("the end of the run", lambda: self.stack.api.run_state(DAG, self.run_id) == "success")
        return seconds

    def _kill_worker(self) -> None:
        name = WORKERS[-1]
        tries: dict[str, int] = {}

        def has_work() -> bool:
            tries.update(self.database.running_in(self._members(name)))
            return bool(tries)

        self._wait(f"{name} to have tasks", has_work)
        self._kill(name, f"{len(tries)} tasks", lambda: self.database.are_past(tries))

    def _kill_scheduler(self) -> None:
        job = self.database.jobs("SchedulerJob")[-1]
        responsible_for = self.database.tasks_of_scheduler(job)
        self._kill(SCHEDULERS[-1], f"{responsible_for} tasks", lambda: self.database.tasks_of_scheduler(job) == 0)

    def _kill_triggerer(self) -> None:
        job = self.database.jobs("TriggererJob")[-1]
        held = self.database.triggers_of(job)
        self._kill(TRIGGERERS[-1], f"{held} triggers", lambda: self.database.triggers_of(job) == 0)

    def _kill(self, name: str, held: str, is_over: Callable[[], bool]) -> None:
        self.usage.sample()
        take_over = TakeOver(name, held, time.time())
        self.stack.kill(name)
        self.log(f"{self._elapsed():5.0f} s: {name} killed, with {held}")
        self.take_overs.append(take_over)
        self._open.append((take_over, time.monotonic(), is_over))

    def _members(self, name: str) -> list[int]:
        parent = psutil.Process(self.stack.processes.pid(name))
        return [process.pid for process in parent.children(recursive=True)]

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        while not holds():
            if self._elapsed() > self.limit:
                raise TooSlowError(f"It took longer than {self.limit:.0f} s until {what}: {self.database.states()}")
            self._tick()
            time.sleep(_TICK_SECONDS)

    def _tick(self) -> None:
        self.stack.processes.check()
        for pending in list(self._open):
            take_over, killed_at, is_over = pending
            if is_over():
                take_over.seconds = time.monotonic() - killed_at
                take_over.pause = self.database.longest_pause(take_over.at)
                self.log(f"{self._elapsed():5.0f} s: {take_over.name} taken over after {take_over.seconds:.1f} s")
                self._open.remove(pending)
                self.stack.start(take_over.name)
        if self._elapsed() >= self._logged_at:
            self._logged_at = self._elapsed() + _PROGRESS_SECONDS
            self.usage.sample()
            states = {task: dict(counts) for task, counts in self.database.states().items()}
            self.log(f"{self._elapsed():5.0f} s: {states}")

    def _accepted(self) -> int:
        return sum(self.database.states().get("generate", {}).get(state, 0) for state in ("deferred", "success"))

    def _in_state(self, task: str, state: str) -> int:
        return self.database.states().get(task, {}).get(state, 0)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began
