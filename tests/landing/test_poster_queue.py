# SPDX-License-Identifier: Apache-2.0
"""Posters are added in the background: no file waits for them, and few are kept open meanwhile."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import BinaryIO

from airflow_provider_evolink.landing import poster_queue
from airflow_provider_evolink.landing.poster_queue import PosterQueue


class Drawing:
    """Adds posters once it may, and notes what each was drawn from."""

    def __init__(self) -> None:
        self.may_start = Event()
        self.contents: list[bytes | None] = []

    def add(self, file: BinaryIO | None) -> bool:
        """Read the file from its beginning; one that has to be read from elsewhere has no poster here."""
        assert self.may_start.wait(30)
        content = None
        if file is not None:
            file.seek(0)
            content = file.read()
        self.contents.append(content)
        return content is not None


def filled(folder: Path, count: int, drawing: Drawing) -> PosterQueue:
    """Return a queue with the posters of files that are unlinked and closed by now."""
    queue = PosterQueue()
    for number in range(count):
        with (folder / "file").open("wb+") as file:
            file.write(b"%d" % number)
            (folder / "file").unlink()
            queue.put(f"file:///{number}", drawing.add, file)
    return queue


def test_files_are_kept_for_their_posters(tmp_path: Path) -> None:
    """A file that is closed after it has landed, and was not written back, can be read for its poster."""
    drawing = Drawing()
    queue = filled(tmp_path, 20, drawing)
    drawing.may_start.set()

    assert queue.results(lambda: False) == {f"file:///{number}": True for number in range(20)}
    assert sorted(drawing.contents, key=str) == sorted((b"%d" % number for number in range(20)), key=str)


def test_few_files_are_kept(tmp_path: Path) -> None:
    """However many wait, no more than a few files are kept open; the others are read from where they have landed."""
    drawing = Drawing()
    queue = filled(tmp_path, 3 * poster_queue._KEPT, drawing)
    drawing.may_start.set()

    results = queue.results(lambda: False)

    assert sum(results.values()) == poster_queue._KEPT
    assert drawing.contents.count(None) == 2 * poster_queue._KEPT


def test_a_kill_ends_the_wait(tmp_path: Path) -> None:
    """Once the task has been killed, only the posters that are under way are added."""
    drawing = Drawing()
    queue = filled(tmp_path, 30, drawing)

    def is_killed() -> bool:
        drawing.may_start.set()
        return True

    results = queue.results(is_killed)

    assert len(results) == 30
    assert sum(results.values()) == len(drawing.contents) < 30


def test_nothing_is_added_after_the_end(tmp_path: Path) -> None:
    """A queue that was given up adds nothing more, also of files that land afterwards."""
    drawing = Drawing()
    drawing.may_start.set()
    queue = PosterQueue()
    queue.cancel()

    queue.put("file:///0", drawing.add, None)

    assert queue.results(lambda: False) == {}
    assert drawing.contents == []
