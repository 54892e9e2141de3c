"""The CPU time that each part of Airflow has used, those that were killed included."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import psutil

from demo.processes import Processes

NOT_COUNTED = frozenset({"database"})  # the process that creates the tables


class Usage:
    """Adds up what the processes tell of themselves whenever it is asked to look.

    :param processes: whose.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._seen: dict[tuple[str, int], float] = {}
        self._start: Counter[str] = Counter()

    def look(self) -> None:
        """Note what has been used until now; a killed process counts with what was last seen of it."""
        for name, pid in self._processes.pids().items():
            if name not in NOT_COUNTED:
                self._seen[name, pid] = max(_used_by(pid), self._seen.get((name, pid), 0.0))

    def begin(self) -> None:
        """Count from now on."""
        self.look()
        self._start = self._by_part()

    def seconds(self) -> dict[str, float]:
        """Return CPU seconds by kind of part: both schedulers together, and so on."""
        self.look()
        return {name: used - self._start[name] for name, used in sorted(self._by_part().items())}

    def _by_part(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (name, _), used in self._seen.items():
            found[kind_of(name)] += used  # type: ignore[assignment]
        return found


def kind_of(name: str) -> str:
    """Tell what kind of part it is: the second of a kind has a number after its name."""
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else name


def _used_by(pid: int) -> float:
    """Sum up a process, what it has started and what of that has ended."""
    used = 0.0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
    return used
