# SPDX-License-Identifier: Apache-2.0
"""The yardstick: a script with no safety at all. A crash, a lost response or a 429 costs whatever it costs.

``python -m benchmarks.batch.bare FILE FOLDER`` prints the CPU seconds and the peak memory of its process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.batch.cases import WINDOW
from benchmarks.batch.peak_memory import peak_mib
from benchmarks.batch.rows import KEY
from benchmarks.bodies import MAX_BATCH_SIZE, MODEL

ADDRESS, API_KEY = "BENCH_ADDRESS", "BENCH_API_KEY"
_POLL_SECONDS = 2.0


class Script:
    """The requests of the script.

    :param session: with address and API key.
    :param folder: where the videos go, named as a batch names them.
    """

    def __init__(self, session: aiohttp.ClientSession, folder: Path) -> None:
        self._session = session
        self._folder = folder
        self._slots = asyncio.Semaphore(WINDOW)
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self.digests: dict[str, str] = {}

    async def make(self, row: dict[str, Any]) -> None:
        """Generate and land one row."""
        key = row.pop(KEY)
        async with self._slots:
            accepted = await self._post("/v1/videos/generations", {"model": MODEL} | row)
            name = accepted["id"]
            self._waiting[name] = asyncio.get_running_loop().create_future()
            async with self._session.get(await self._waiting[name]) as response:
                content = await response.read()
            file = self._folder / key / f"{name}.mp4"
            file.parent.mkdir()
            file.write_bytes(content)
            self.digests[key] = hashlib.sha256(content).hexdigest()

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll as long as the context lasts."""
        poller = asyncio.create_task(self._poll())
        yield
        poller.cancel()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            names = list(self._waiting)
            starts = range(0, len(names), MAX_BATCH_SIZE)
            await asyncio.gather(*(self._read(names[start : start + MAX_BATCH_SIZE]) for start in starts))

    async def _read(self, names: list[str]) -> None:
        for generation in (await self._post("/v1/tasks/batch", {"task_ids": names}))["data"]:
            if generation["status"] == "completed":
                self._waiting.pop(generation["id"]).set_result(generation["results"][0])

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        async with self._session.post(path, json=body) as response:
            return await response.json()


async def run(requests: Path, folder: Path) -> None:
    """Generate and land all rows of a file."""
    tls = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connector = aiohttp.TCPConnector(limit=WINDOW, ssl=tls)
    headers = {"Authorization": f"Bearer {os.environ[API_KEY]}"}
    async with aiohttp.ClientSession(os.environ[ADDRESS], connector=connector, headers=headers) as session:
        script = Script(session, folder)
        with requests.open() as lines:
            rows = [json.loads(line) for line in lines]
        async with script.polling():
            await asyncio.gather(*(script.make(row) for row in rows))


def main() -> None:
    """Run, and print what it cost."""
    parser = argparse.ArgumentParser(description="a bare script")
    parser.add_argument("requests", type=Path, help="JSON Lines")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--core", type=int, help="CPU core to run on")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    asyncio.run(run(options.requests, options.folder))
    print(json.dumps({"cpu": time.process_time(), "peak_mib": peak_mib(os.getpid())}))


if __name__ == "__main__":
    main()
