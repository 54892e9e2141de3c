# SPDX-License-Identifier: Apache-2.0
"""How the suite and Airflow's processes find each other: files in a folder that both know.

The suite sets a halt, a process that reaches the failpoint records its ids and waits there, the suite releases it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

FAIL = signal.SIGUSR1
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Arrival:
    """A process that reached a failpoint.

    :param pid: its process id.
    :param parent: process id of its parent; for a task, that is its supervisor.
    """

    pid: int
    parent: int


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run.

    :param folder: folder of their files.
    """

    folder: Path

    def halt_at(self, failpoint: str) -> None:
        """Make every process that reaches a failpoint wait there."""
        self._halt(failpoint).touch()

    def release(self) -> None:
        """Release all waiting processes, and let later ones pass."""
        for halt in self.folder.glob("*.halt"):
            halt.unlink()

    def arrival(self, failpoint: str) -> Arrival | None:
        """Return the latest process that reached a failpoint."""
        try:
            return Arrival(**json.loads(self._reached(failpoint).read_text()))
        except FileNotFoundError:
            return None

    def reach(self, failpoint: str) -> None:
        """Record this process at a failpoint, and wait there while a halt is set."""
        self.record(failpoint)
        while self._halt(failpoint).exists():
            time.sleep(_POLL_SECONDS)

    async def reach_on_loop(self, failpoint: str) -> None:
        """Do the same without blocking the event loop."""
        self.record(failpoint)
        while self._halt(failpoint).exists():  # noqa: ASYNC110 - another process removes it
            await asyncio.sleep(_POLL_SECONDS)

    def record(self, failpoint: str) -> None:
        """Record that this process reached a failpoint."""
        draft = self.folder / f"{failpoint}.{os.getpid()}.draft"
        draft.write_text(json.dumps({"pid": os.getpid(), "parent": os.getppid()}))
        draft.rename(self._reached(failpoint))

    def _halt(self, failpoint: str) -> Path:
        return self.folder / f"{failpoint}.halt"

    def _reached(self, failpoint: str) -> Path:
        return self.folder / f"{failpoint}.reached"


def fail_on_signal() -> None:
    """Make this process fail wherever it is when it receives ``FAIL``.

    It raises ``SystemExit``, which is not an ``Exception``: code on the way can't mistake it for an error of its own.
    """
    signal.signal(FAIL, lambda _number, _frame: sys.exit("Failed on the suite's signal."))
