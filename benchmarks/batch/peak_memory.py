# SPDX-License-Identifier: Apache-2.0
"""Watches the memory of task processes, which are gone before anyone could ask them."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_INTERVAL_SECONDS = 0.2
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class PeakMemory:
    """Sample the tasks of a LocalExecutor as long as the context lasts.

    :param scheduler: id of the scheduler, whose children are the executor's workers, whose children are the tasks.
    """

    def __init__(self, scheduler: int) -> None:
        self._scheduler = psutil.Process(scheduler)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mib = 0.0

    def _watch(self) -> None:
        while not self._is_over.wait(_INTERVAL_SECONDS):
            for process in self._scheduler.children(recursive=True):
                with suppress(psutil.Error, OSError):
                    if process.ppid() != self._scheduler.pid:
                        self.mib = max(self.mib, peak_mib(process.pid))

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._is_over.set()
        self._thread.join()


def peak_mib(pid: int) -> float:
    """Return a process's peak memory in MiB; 0 for one that has just ended."""
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
