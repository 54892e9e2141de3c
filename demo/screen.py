# SPDX-License-Identifier: Apache-2.0
"""What the person at the terminal sees: a line for each step, with a bar that lives; plain lines where nobody looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

_NOTE_WIDTH = 44


class Step:
    """One line of the screen.

    :param screen: whose line it is.
    :param title: what is being done.
    """

    def __init__(self, screen: Screen, title: str) -> None:
        self._progress = screen.progress
        self._line: TaskID = screen.progress.add_task(title, total=None, note="", seconds="")
        self._started = time.monotonic()
        self._note = ""
        self.title = title

    def note(self, text: str) -> None:
        """Show what is going on."""
        self._note = text
        self._update()

    def percent(self, percent: float) -> None:
        """Show how far it is."""
        self._progress.update(self._line, total=100, completed=percent)
        self._update()

    def done(self) -> str:
        """Fill the bar; return the line for where no bar can be shown."""
        self._progress.update(self._line, total=100, completed=100)
        self._update()
        return f"{self.title}: {self._note or 'done'} ({self._seconds()})"

    def _update(self) -> None:
        note = self._note if len(self._note) <= _NOTE_WIDTH else f"{self._note[: _NOTE_WIDTH - 1]}…"
        self._progress.update(self._line, note=escape(note), seconds=self._seconds())

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._started:.0f} s"


class Screen:
    """Shows steps while its context lasts."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[seconds]}", justify="right", style="dim"),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step; what goes wrong within it leaves its bar unfinished."""
        step = Step(self, title)
        yield step
        line = step.done()
        if not self.console.is_terminal:
            self.say(line)

    def close(self) -> None:
        """Show no more steps; what was shown stays."""
        self.progress.stop()

    def say(self, text: str) -> None:
        """Print plain text."""
        self.console.print(escape(text), soft_wrap=True)

    def facts(self, rows: dict[str, str]) -> None:
        """Print names and values, each on a line of its own, whole: they are there to be copied."""
        width = max(map(len, rows))
        for name, value in rows.items():
            self.console.print(f"[bold]{name:{width}}[/]  {escape(value)}", soft_wrap=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave what was shown."""
        self.close()
