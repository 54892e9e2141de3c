# SPDX-License-Identifier: Apache-2.0
"""The terminal output: one line per step, with a live progress bar; plain lines where there is no terminal."""

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

    :param screen: the screen it is on.
    :param title: what is being done.
    """

    def __init__(self, screen: Screen, title: str) -> None:
        self._progress = screen.progress
        self._line: TaskID = screen.progress.add_task(title, total=None, note="", seconds="")
        self._started = time.monotonic()
        self._note = ""
        self.title = title

    def note(self, text: str) -> None:
        """Show a note beside the bar; it may have several lines."""
        self._note = text
        self._update()

    def percent(self, percent: float) -> None:
        """Show the progress, from 0 to 100."""
        self._progress.update(self._line, total=100, completed=percent)
        self._update()

    def done(self) -> str:
        """Complete the bar; return the plain line for output without a terminal."""
        self._progress.update(self._line, total=100, completed=100)
        self._update()
        note = "; ".join(self._note.splitlines()) or "done"
        return f"{self.title}: {note} ({self._seconds()})"

    def _update(self) -> None:
        note = "\n".join(map(_shortened, self._note.splitlines()))
        self._progress.update(self._line, note=escape(note), seconds=self._seconds())

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._started:.0f} s"


def _shortened(text: str) -> str:
    return text if len(text) <= _NOTE_WIDTH else f"{text[: _NOTE_WIDTH - 3]}..."


class Screen:
    """Show steps as long as its context lasts."""

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
        """Show a step; an exception within it leaves its bar incomplete."""
        step = Step(self, title)
        yield step
        self.plain(step.done())

    def close(self) -> None:
        """End the live display; what was shown stays."""
        self.progress.stop()

    def plain(self, text: str) -> None:
        """Print plain text where there is no terminal to show a bar on."""
        if not self.console.is_terminal:
            self.print(text)

    def print(self, text: str) -> None:
        """Print plain text."""
        self.console.print(escape(text), soft_wrap=True)

    def facts(self, rows: dict[str, str]) -> None:
        """Print names and values, each value on one line, so that it can be copied."""
        width = max(map(len, rows))
        for name, value in rows.items():
            self.console.print(f"[bold]{name:{width}}[/]  {escape(value)}", soft_wrap=True)

    def __enter__(self) -> Self:
        """Start the live display."""
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the live display."""
        self.close()
