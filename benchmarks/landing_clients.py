# SPDX-License-Identifier: Apache-2.0
"""
Ways to get a large file from a link to a disk, ours among them, each in a process of its own.

``python -m benchmarks.landing_clients NAME LINK FOLDER CA`` fetches once for each line of its input, and answers each
with a line of JSON: seconds of wall and CPU, and the most memory over what it had before.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
GENERATION = "task-unified-1757169743-benchmrk"
Fetch = Callable[[Path], str | None]


@dataclass(frozen=True)
class Task:
    """What is to be fetched where, trusting which certificate."""

    link: str
    folder: Path
    ca: str

    @property
    def target(self) -> Path:
        """The final name."""
        return self.folder / "film.mp4"


class Sink:
    """A file as most people write one: plainly, or hashed on the way, or also safe from a power cut (``durable``)."""

    def __init__(self, path: Path, *, hashed: bool, durable: bool) -> None:
        self._path = path
        self._part = path.with_suffix(".part") if durable else path
        self._file = self._part.open("wb")
        self._hash = hashlib.sha256() if hashed else None
        self._durable = durable

    def write(self, chunk: bytes) -> None:
        """Take a piece."""
        self._file.write(chunk)
        if self._hash:
            self._hash.update(chunk)

    def close(self) -> str | None:
        """Finish, and return the hash if there is one."""
        self._file.flush()
        if self._durable:
            os.fsync(self._file.fileno())
        self._file.close()
        if self._durable:
            self._part.replace(self._path)
        return self._hash.hexdigest() if self._hash else None


def with_requests(task: Task, sink: Sink) -> None:
    """Fetch with requests, in pieces of 1 MiB."""
    import requests

    with requests.get(task.link, stream=True, timeout=60, verify=task.ca) as response:
        for chunk in response.iter_content(MIB):
            sink.write(chunk)


def with_httpx(task: Task, sink: Sink) -> None:
    """Fetch with httpx, in the pieces it makes."""
    import httpx

    context = ssl.create_default_context(cafile=task.ca)
    with httpx.stream("GET", task.link, timeout=60, verify=context) as response:
        for chunk in response.iter_bytes():
            sink.write(chunk)


def with_aiohttp(task: Task, sink: Sink) -> None:
    """Fetch with aiohttp, in whatever pieces come."""
    import aiohttp

    async def fetch() -> None:
        context = ssl.create_default_context(cafile=task.ca)
        async with aiohttp.ClientSession() as session, session.get(task.link, ssl=context) as response:
            async for chunk in response.content.iter_any():
                sink.write(chunk)

    asyncio.run(fetch())


CLIENTS = {"requests": with_requests, "aiohttp": with_aiohttp, "httpx": with_httpx}


def python(task: Task, words: list[str]) -> Fetch:
    """Return a fetch with a client of Python: ``requests``, ``requests sha256``, ``requests sha256 fsync``."""
    __import__(words[0])

    def fetch(target: Path) -> str | None:
        sink = Sink(target, hashed="sha256" in words, durable="fsync" in words)
        CLIENTS[words[0]](task, sink)
        return sink.close()

    return fetch


def curl(task: Task, words: list[str]) -> Fetch:
    """Return a fetch with curl; with ``sha256`` its output is hashed beside the writing, by two more processes."""

    def fetch(target: Path) -> str | None:
        get = f"curl --silent --show-error --fail --noproxy '*' --cacert {shlex.quote(task.ca)} {shlex.quote(task.link)}"
        if "sha256" not in words:
            subprocess.run(f"{get} --output {shlex.quote(str(target))}", shell=True, check=True)  # noqa: S602
            return None
        piped = f"set -o pipefail; {get} | tee {shlex.quote(str(target))} | sha256sum"
        return subprocess.run(["bash", "-c", piped], check=True, capture_output=True, text=True).stdout.split()[0]  # noqa: S603, S607

    return fetch


def ours(task: Task, words: list[str]) -> Fetch:
    """Return a landing by the operator, with all that belongs to it; ``unsynced`` takes out what a power cut needs."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    import airflow_provider_evolink.landing.land
    from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

    if "unsynced" in words:
        os.fsync = lambda fd: None
    extra = {"verify": task.ca}
    host = {"conn_type": "evolink", "host": task.link.rpartition("/")[0], "password": "none", "extra": extra}
    os.environ["AIRFLOW_CONN_EVOLINK_DEFAULT"] = json.dumps(host)
    record = {"generation_id": GENERATION, "status": "completed", "results": [task.link], "model": "m"}
    record |= {"result_data": None, "expires_at": None}
    destination = next((word for word in words if ":" in word), str(task.folder))
    context: Any = {"task_state_store": None, "outlet_events": OutletEventAccessors()}

    def fetch(_: Path) -> str | None:
        operator = EvoLinkToObjectStorageOperator(
            task_id="land", generation=record, destination=destination, filename_pattern="film.{ext}"
        )
        return str(operator.execute(context)[0]["sha256"])

    assert airflow_provider_evolink.landing.land  # what a worker imports at its first landing is no part of the second
    return fetch


MAKERS = {"ours": ours, "curl": curl}


def memory(name: str) -> int:
    """Return a figure of this process in bytes: ``VmRSS``, or ``VmHWM``, its highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def cpu() -> float:
    """Return the CPU seconds of this process and the children it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(fetch: Fetch, target: Path) -> dict[str, Any]:
    """Fetch once, with nothing of the rounds before still on its way to the disk."""
    target.unlink(missing_ok=True)
    os.sync()
    Path("/proc/self/clear_refs").write_text("5")
    before, wall, used = memory("VmRSS"), time.perf_counter(), cpu()
    digest = fetch(target)
    wall, used = time.perf_counter() - wall, cpu() - used
    return {"wall": wall, "cpu": used, "memory": memory("VmHWM") - before, "sha256": digest}


def main() -> None:
    """Fetch whenever told."""
    name, link, folder, ca = sys.argv[1:]
    words = name.split()
    task = Task(link, Path(folder), ca)
    fetch = MAKERS.get(words[0], python)(task, words)
    print("ready", flush=True)
    for _ in sys.stdin:
        print("\n" + json.dumps(measure(fetch, task.target)), flush=True)
        task.target.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
