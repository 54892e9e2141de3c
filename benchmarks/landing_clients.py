# SPDX-License-Identifier: Apache-2.0
"""
Ways to get a large file from a link to a disk or a bucket, ours among them, each in a process of its own.

``python -m benchmarks.landing_clients NAME LINK FOLDER CA`` fetches once for each line of its input, and answers each
with a line of JSON: seconds of wall and CPU, and the most memory over what it had before.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import resource
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
    """Return a fetch with curl; with ``sha256`` the file is read again and hashed, as one does by hand."""
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert", task.ca, task.link]

    def fetch(target: Path) -> str | None:
        subprocess.run([*command, "--output", str(target)], check=True)
        if "sha256" not in words:
            return None
        printed = subprocess.run(["sha256sum", str(target)], check=True, capture_output=True, text=True)  # noqa: S607
        return printed.stdout.split()[0]

    return fetch


def ours(task: Task, words: list[str]) -> Fetch:
    """Return a landing by the operator, with all that belongs to it; ``unsynced`` takes out what a power cut needs."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

    if "unsynced" in words:
        os.fsync = lambda fd: None  # noqa: ARG005 - the original's name
    extra = {"verify": task.ca}
    host: dict[str, Any] = {
        "conn_type": "evolink",
        "host": task.link.rpartition("/")[0],
        "password": "none",
        "extra": extra,
    }
    os.environ["AIRFLOW_CONN_EVOLINK_DEFAULT"] = json.dumps(host)
    record: dict[str, Any] = {"generation_id": GENERATION, "status": "completed", "results": [task.link], "model": "m"}
    record |= {"result_data": None, "expires_at": None}
    destination = next((word for word in words if ":" in word), str(task.folder))
    context: Any = {"task_state_store": None, "outlet_events": OutletEventAccessors()}

    numbers = itertools.count()

    def fetch(_: Path) -> str | None:
        # A file of the same name would be compared and left as it is.
        pattern = f"film-{next(numbers)}.{{ext}}" if "://" in destination else "film.{ext}"
        operator = EvoLinkToObjectStorageOperator(
            task_id="land", generation=record, destination=destination, filename_pattern=pattern
        )
        return str(operator.execute(context)[0]["sha256"])

    return fetch


def upload(task: Task, words: list[str]) -> Fetch:
    """Return what brings a file of this machine into the bucket: as a landing does, by boto3, or by s3fs."""
    import boto3  # type: ignore[import-untyped]

    from airflow_provider_evolink.landing.storage import publish
    from airflow_provider_evolink.landing.storage_target import storage_target
    from airflow_provider_evolink.landing.whole_file import WholeFile

    there = json.loads(os.environ["AIRFLOW_CONN_STORE"])
    file, size = open(task.link, "rb"), Path(task.link).stat().st_size  # noqa: PTH123, SIM115 - open as long as we are
    account = {"aws_access_key_id": there["login"], "aws_secret_access_key": there["password"], **there["extra"]}
    client, folder = boto3.client("s3", **account), storage_target("s3://store@videos/uploads")

    def fetch(_: Path) -> str | None:
        file.seek(0)
        match words[1]:
            case "publish":
                publish(WholeFile(file, size, "video/mp4", "benchmark"), folder / "publish.mp4", replace=True)
            case "upload_fileobj":
                with Path(task.link).open("rb") as own:  # which it closes itself, too
                    client.upload_fileobj(own, "videos", "uploads/upload_fileobj.mp4")
            case "put_file":
                folder.fs.put_file(task.link, "videos/uploads/put_file.mp4")
        return None

    return fetch


MAKERS = {"ours": ours, "curl": curl, "upload": upload}


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
