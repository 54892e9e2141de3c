# SPDX-License-Identifier: Apache-2.0
"""Renders on threads of its own, each file once: the event loop never waits for FFmpeg."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Event

from airflow_provider_evolink.emulator.artifacts import Artifact, Picture
from airflow_provider_evolink.emulator.render import picture_size, render

MOST_KEPT = 128
_kept: dict[Artifact, bytes] = {}  # across emulators and resets: the same request always gives the same file


@lru_cache(maxsize=64)
def measure(data: bytes) -> Picture | None:
    """Decode a picture once, and share it between all requests that carry it; None when it cannot be decoded.

    :param data: the encoded picture.
    """
    size = picture_size(data)
    return Picture(data, size) if size else None


class Studio:
    """Makes files on demand.

    :param folder: where a copy of each file is left, by its name; None for nowhere.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._closing = Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="evolink-emulator-render")
        self._running: dict[Artifact, asyncio.Future[bytes]] = {}

    async def inspect(self, data: bytes) -> Picture | None:
        """Decode a picture; None when that is not possible."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, measure, data)

    async def deliver(self, artifact: Artifact, name: str) -> bytes:
        """Return a file, rendering it if nobody asked for the same one before.

        :param artifact: what it shows.
        :param name: its file name in the folder.
        :raises RenderingStoppedError: the studio closes.
        """
        if artifact in _kept:
            return self._leave_copy(name, _kept[artifact])
        if artifact not in self._running:
            self._running[artifact] = asyncio.get_running_loop().run_in_executor(
                self._threads, render, artifact, self._closing.is_set
            )
        try:
            data = await asyncio.shield(self._running[artifact])
        finally:
            if artifact in self._running and self._running[artifact].done():
                del self._running[artifact]
        _keep(artifact, data)
        return self._leave_copy(name, data)

    def close(self) -> None:
        """Stop all rendering soon."""
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave_copy(self, name: str, data: bytes) -> bytes:
        if self._folder and not (self._folder / name).exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_bytes(data)
        return data


def _keep(artifact: Artifact, data: bytes) -> None:
    _kept[artifact] = data
    while len(_kept) > MOST_KEPT:
        del _kept[next(iter(_kept))]
