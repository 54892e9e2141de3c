"""
How the suite and the processes of Airflow find each other: files in a folder that both know.

The suite asks for a halt, a process that comes to the point says who it is and waits there, the suite lets it go on.
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
class Caught:
    """A process that came to a point, and its parent: of a task, that is its supervisor."""

    pid: int
    parent: int


@dataclass(frozen=True)
class Marks:
    """The marks of one run.

    :param folder: where they are.
    """

    folder: Path

    def ask(self, point: str) -> None:
        """Let whoever comes to a point wait there."""
        self._halt(point).touch()

    def let_go(self) -> None:
        """Let everybody go on, for good."""
        for halt in self.folder.glob("*.halt"):
            halt.unlink()

    def caught(self, point: str) -> Caught | None:
        """Tell who came to a point last."""
        try:
            return Caught(**json.loads(self._reached(point).read_text()))
        except FileNotFoundError:
            return None

    def reach(self, point: str) -> None:
        """Come to a point, and wait there if that was asked."""
        self.note(point)
        while self._halt(point).exists():
            time.sleep(_POLL_SECONDS)

    async def reach_on_loop(self, point: str) -> None:
        """Do the same, while others on the event loop go on."""
        self.note(point)
        while self._halt(point).exists():  # noqa: ASYNC110 - another process ends it
            await asyncio.sleep(_POLL_SECONDS)

    def note(self, point: str) -> None:
        """Say that this process came to a point."""
        draft = self.folder / f"{point}.{os.getpid()}.draft"
        draft.write_text(json.dumps({"pid": os.getpid(), "parent": os.getppid()}))
        draft.rename(self._reached(point))

    def _halt(self, point: str) -> Path:
        return self.folder / f"{point}.halt"

    def _reached(self, point: str) -> Path:
        return self.folder / f"{point}.reached"


def fail_when_told() -> None:
    """Let this process end with an error wherever it is, as soon as it gets the signal for it.

    What it raises is no ``Exception``, which something on the way would take for a failure of its own and go on.
    """
    signal.signal(FAIL, lambda _number, _frame: sys.exit("It was told to fail."))
