# SPDX-License-Identifier: Apache-2.0
"""Render files on threads of their own, each once, so that the event loop never waits for FFmpeg.

Against a thundering herd, concurrent requests for the same file share one rendering (single-flight).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Event

from airflow_provider_evolink.emulator.media.artifacts import Artifact, SourceImage
from airflow_provider_evolink.emulator.media.rendering import image_size, render

CACHE_SIZE = 128
_cache: dict[Artifact, bytes] = {}  # outlives emulators and resets: the same artifact always gives the same file


@lru_cache(maxsize=64)
def load_image(data: bytes) -> SourceImage | None:
    """Decode an image once, and share it between all requests that carry it; None if it cannot be decoded.

    :param data: the encoded image.
    """
    size = image_size(data)
    return SourceImage(data, size) if size else None


class RenderPool:
    """Render files on demand.

    :param copy_dir: directory that keeps a copy of each file under its name; None for no copies.
    """

    def __init__(self, copy_dir: Path | None = None) -> None:
        self._copy_dir = copy_dir
        self._closing = Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="evolink-emulator-render")
        self._running: dict[Artifact, asyncio.Future[bytes]] = {}

    async def load_image(self, data: bytes) -> SourceImage | None:
        """Decode an image off the event loop; None if it cannot be decoded."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, load_image, data)

    async def render(self, artifact: Artifact, name: str) -> bytes:
        """Return a file, from the cache or a rendering underway if possible.

        :param artifact: its content, format, size and length.
        :param name: file name of its copy.
        :raises RenderCancelledError: the pool is closing.
        """
        if artifact in _cache:
            return self._save_copy(name, _cache[artifact])
        if artifact not in self._running:
            self._running[artifact] = asyncio.get_running_loop().run_in_executor(
                self._threads, render, artifact, self._closing.is_set
            )
        try:
            data = await asyncio.shield(self._running[artifact])
        finally:
            if artifact in self._running and self._running[artifact].done():
                del self._running[artifact]
        _add_to_cache(artifact, data)
        return self._save_copy(name, data)

    def close(self) -> None:
        """Cancel all renderings; those underway end at their next frame."""
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _save_copy(self, name: str, data: bytes) -> bytes:
        if self._copy_dir and not (self._copy_dir / name).exists():
            self._copy_dir.mkdir(parents=True, exist_ok=True)
            (self._copy_dir / name).write_bytes(data)
        return data


def _add_to_cache(artifact: Artifact, data: bytes) -> None:
    _cache[artifact] = data
    while len(_cache) > CACHE_SIZE:
        del _cache[next(iter(_cache))]
