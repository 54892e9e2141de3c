# SPDX-License-Identifier: Apache-2.0
"""Ways to get a large file from a link to a disk or a bucket, the provider's among them, each in its own process.

``python -m benchmarks.landing_clients NAME LINK FOLDER CA`` fetches once for each line of its standard input, and
responds to each with a line of JSON: wall and CPU seconds, and peak memory above the level before.
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

from testkit.examples import GENERATION_ID

MIB = 1024 * 1024
Fetch = Callable[[Path], str | None]


@dataclass(frozen=True)
class Task:
    """What to fetch.

    :param link: from where.
    :param folder: to where.
    :param ca: certificate to trust.
    """

    link: str
    folder: Path
    ca: str

    @property
    def target(self) -> Path:
        """The final path."""
        return self.folder / "video.mp4"


class FileWriter:
    """A file as most people write it.

    :param path: the final path.
    :param hashed: compute the SHA-256 on the way.
    :param durable: write to a temporary name, fsync and rename, so that the file survives a power failure.
    """

    def __init__(self, path: Path, *, hashed: bool, durable: bool) -> None:
        self._path = path
        self._part = path.with_suffix(".part") if durable else path
        self._file = self._part.open("wb")
        self._hash = hashlib.sha256() if hashed else None
        self._durable = durable

    def write(self, chunk: bytes) -> None:
        """Write a chunk."""
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


def with_requests(task: Task, writer: FileWriter) -> None:
    """Fetch with requests, in chunks of 1 MiB."""
    import requests

    with requests.get(task.link, stream=True, timeout=60, verify=task.ca) as response:
        for chunk in response.iter_content(MIB):
            writer.write(chunk)


def with_httpx(task: Task, writer: FileWriter) -> None:
    """Fetch with httpx, in its own chunks."""
    import httpx

    context = ssl.create_default_context(cafile=task.ca)
    with httpx.stream("GET", task.link, timeout=60, verify=context) as response:
        for chunk in response.iter_bytes():
            writer.write(chunk)


def with_aiohttp(task: Task, writer: FileWriter) -> None:
    """Fetch with aiohttp, in chunks as they arrive."""
    import aiohttp

    async def fetch() -> None:
        context = ssl.create_default_context(cafile=task.ca)
        async with aiohttp.ClientSession() as session, session.get(task.link, ssl=context) as response:
            async for chunk in response.content.iter_any():
                writer.write(chunk)

    asyncio.run(fetch())


CLIENTS = {"requests": with_requests, "aiohttp": with_aiohttp, "httpx": with_httpx}


def python(task: Task, options: list[str]) -> Fetch:
    """Return a fetch with a Python client: ``requests``, ``requests sha256``, ``requests sha256 fsync``."""
    __import__(options[0])

    def fetch(target: Path) -> str | None:
        writer = FileWriter(target, hashed="sha256" in options, durable="fsync" in options)
        CLIENTS[options[0]](task, writer)
        return writer.close()

    return fetch


def curl(task: Task, options: list[str]) -> Fetch:
    """Return a fetch with curl; with ``sha256`` the file is read again and hashed, as one does by hand."""
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert", task.ca, task.link]

    def fetch(target: Path) -> str | None:
        subprocess.run([*command, "--output", str(target)], check=True)
        if "sha256" not in options:
            return None
        printed = subprocess.run(["sha256sum", str(target)], check=True, capture_output=True, text=True)  # noqa: S607
        return printed.stdout.split()[0]

    return fetch


def ours(task: Task, options: list[str]) -> Fetch:
    """Return a landing by the operator with everything that it does; ``unsynced`` removes its fsync."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

    if "unsynced" in options:
        os.fsync = lambda fd: None  # noqa: ARG005 - the original's name
    extra = {"verify": task.ca}
    host: dict[str, Any] = {
        "conn_type": "evolink",
        "host": task.link.rpartition("/")[0],
        "password": "none",
        "extra": extra,
    }
    os.environ["AIRFLOW_CONN_EVOLINK_DEFAULT"] = json.dumps(host)
    record: dict[str, Any] = {
        "generation_id": GENERATION_ID,
        "status": "completed",
        "results": [task.link],
        "model": "m",
    }
    record |= {"result_data": None, "expires_at": None}
    destination = next((word for word in options if ":" in word), str(task.folder))
    context: Any = {"task_state_store": None, "outlet_events": OutletEventAccessors()}

    numbers = itertools.count()

    def fetch(_: Path) -> str | None:
        # An existing file would be compared and left alone.
        pattern = f"video-{next(numbers)}.{{ext}}" if "://" in destination else "video.{ext}"
        operator = EvoLinkToObjectStorageOperator(
            task_id="land", generation=record, destination=destination, filename_pattern=pattern
        )
        return str(operator.execute(context)[0]["sha256"])

    return fetch


def upload(task: Task, options: list[str]) -> Fetch:
    """Return an upload of a local file into the bucket: as a landing does, by boto3, or by s3fs."""
    import boto3  # type: ignore[import-untyped]

    from airflow_provider_evolink.landing.staged_file import StagedFile
    from airflow_provider_evolink.landing.storage import publish
    from airflow_provider_evolink.landing.storage_target import storage_target

    connection = json.loads(os.environ["AIRFLOW_CONN_STORE"])
    file, size = open(task.link, "rb"), Path(task.link).stat().st_size  # noqa: PTH123, SIM115 - open until exit
    account = {
        "aws_access_key_id": connection["login"],
        "aws_secret_access_key": connection["password"],
        **connection["extra"],
    }
    client, folder = boto3.client("s3", **account), storage_target("s3://store@videos/uploads")

    def fetch(_: Path) -> str | None:
        file.seek(0)
        match options[1]:
            case "publish":
                publish(StagedFile(file, size, "video/mp4", "benchmark"), folder / "publish.mp4", replace=True)
            case "upload_fileobj":
                with Path(task.link).open("rb") as body:  # which it closes itself
                    client.upload_fileobj(body, "videos", "uploads/upload_fileobj.mp4")
            case "put_file":
                folder.fs.put_file(task.link, "videos/uploads/put_file.mp4")
        return None

    return fetch


MAKERS = {"ours": ours, "curl": curl, "upload": upload}


def memory(name: str) -> int:
    """Return a figure of this process in bytes: ``VmRSS``, or ``VmHWM``, its peak since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def cpu() -> float:
    """Return the CPU seconds of this process and of the children it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(fetch: Fetch, target: Path) -> dict[str, Any]:
    """Fetch once, with nothing of earlier rounds still being written to disk."""
    target.unlink(missing_ok=True)
    os.sync()
    Path("/proc/self/clear_refs").write_text("5")
    before, wall, used = memory("VmRSS"), time.perf_counter(), cpu()
    digest = fetch(target)
    wall, used = time.perf_counter() - wall, cpu() - used
    return {"wall": wall, "cpu": used, "memory": memory("VmHWM") - before, "sha256": digest}


def main() -> None:
    """Fetch once for each line of standard input."""
    name, link, folder, ca = sys.argv[1:]
    options = name.split()
    task = Task(link, Path(folder), ca)
    fetch = MAKERS.get(options[0], python)(task, options)
    print("ready", flush=True)
    for _ in sys.stdin:
        print("\n" + json.dumps(measure(fetch, task.target)), flush=True)
        task.target.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
