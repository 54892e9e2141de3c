# SPDX-License-Identifier: Apache-2.0
"""Add posters in the background, so that no file waits for another one's poster before it lands."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Semaphore
from typing import BinaryIO, cast

# Posters that are under way at a time: one is drawn, others are written to the storage, or wait.
_THREADS = 8
# Files that are kept open, with their space on this machine's disk, until their poster is drawn.
_KEPT = 32
_KILL_CHECK_SECONDS = 0.5

AddPoster = Callable[[BinaryIO | None], bool]


class PosterQueue:
    """Add the posters of many files.

    A file that was just downloaded is kept for its poster. If as many wait already, it is read once more from where it
    has landed: the disk space taken stays bounded, and landing never waits.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="evolink-posters")
        self._spare = Semaphore(_KEPT)
        self._jobs: list[tuple[str, Future[bool]]] = []
        self._is_cancelled = False

    def put(self, uri: str, add: AddPoster, file: BinaryIO | None) -> None:
        """Have a poster added soon.

        :param uri: of the file that has landed.
        :param add: adds it, given the file on this machine, or ``None`` to read it from where it has landed; returns
            whether there is one now.
        :param file: the file on this machine; may be closed afterwards.
        """
        if not self._is_cancelled:
            self._jobs.append((uri, self._pool.submit(self._add, add, self._kept(file))))

    def results(self, is_killed: Callable[[], bool]) -> dict[str, bool]:
        """Wait for all posters; once the task has been killed, for those that are under way only.

        :return: by the URI of each file, whether it has one now.
        """
        for _, job in self._jobs:
            while wait([job], timeout=_KILL_CHECK_SECONDS).not_done:
                self._is_cancelled = self._is_cancelled or is_killed()
        self._pool.shutdown()
        return {uri: job.result() for uri, job in self._jobs}

    def cancel(self) -> None:
        """Do without the posters that are not under way yet."""
        self._is_cancelled = True

    def _kept(self, file: BinaryIO | None) -> BinaryIO | None:
        if file is None or not self._spare.acquire(blocking=False):
            return None
        file.flush()
        return cast(BinaryIO, os.fdopen(os.dup(file.fileno()), "rb"))

    def _add(self, add: AddPoster, kept: BinaryIO | None) -> bool:
        if kept is None:
            return not self._is_cancelled and add(None)
        try:
            with kept:
                return not self._is_cancelled and add(kept)
        finally:
            self._spare.release()
