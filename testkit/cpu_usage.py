# SPDX-License-Identifier: Apache-2.0
"""The CPU time that each component of Airflow has used, killed processes included."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import psutil

from testkit.processes import Processes

NOT_COUNTED = frozenset({"database"})  # the process that creates the tables


class Usage:
    """Adds up the CPU time of processes at each sample.

    :param processes: the processes to sample.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._samples: dict[tuple[str, int], float] = {}
        self._start: Counter[str] = Counter()

    def sample(self) -> None:
        """Sample the CPU time until now; a killed process keeps its last sample."""
        for name, pid in self._processes.pids().items():
            if name not in NOT_COUNTED:
                self._samples[name, pid] = max(used_by(pid), self._samples.get((name, pid), 0.0))

    def begin(self) -> None:
        """Count from now on."""
        self.sample()
        self._start = self._by_part()

    def seconds(self) -> dict[str, float]:
        """Return CPU seconds by kind of component: both schedulers together, and so on."""
        self.sample()
        return {name: used - self._start[name] for name, used in sorted(self._by_part().items())}

    def _by_part(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (name, _), used in self._samples.items():
            found[kind_of(name)] += used  # type: ignore[assignment]
        return found


def kind_of(name: str) -> str:
    """Return the kind of a component: the second of a kind has a number after its name."""
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else name


def used_by(pid: int) -> float:
    """Add up a process, its live descendants and what ended children have used."""
    used = 0.0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
    return used
