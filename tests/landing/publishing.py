# SPDX-License-Identifier: Apache-2.0
"""Publish complete files as a landing does, one by one or several at the same time."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_evolink.api.errors import FileConflictError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.staged_file import StagedFile
from airflow_provider_evolink.landing.storage import open_staging_file
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.examples import GENERATION_ID
from tests.landing.media_server import mp4

BODY = mp4(200_000)
SHA = hashlib.sha256(BODY).hexdigest()
MIB = 1024 * 1024
ID = GENERATION_ID


class FakeStore:
    """Airflow's task state store in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.rows[key] = json.dumps(value)


def local(folder: Path) -> StorageTarget:
    """Return a local folder as a target."""
    return StorageTarget(LocalFileSystem(), str(folder), "file")


def staged(target: StorageTarget, body: bytes = BODY) -> BinaryIO:
    """Return a staging file that holds a complete file."""
    staging_file = open_staging_file(target)
    staging_file.write(body)
    return staging_file


def publish(
    staging_file: BinaryIO, target: StorageTarget, size: int, content_type: str = "video/mp4", **options: Any
) -> None:
    """Publish a staging file as a result of generation ``ID``."""
    storage.publish(StagedFile(staging_file, size, content_type, ID), target, **options)


def files_in(folder: Path) -> list[str]:
    """List every file, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def race(bodies: list[bytes], targets: list[StorageTarget], **options: Any) -> list[str]:
    """Publish every body at the same time, each in its own thread to its own target; return each outcome."""
    barrier = threading.Barrier(len(bodies))

    def land(number: int) -> str:
        target = targets[number]
        with staged(StorageTarget(target.fs, target.folder, target.protocol), bodies[number]) as staging_file:
            barrier.wait()
            try:
                publish(staging_file, target, len(bodies[number]), **options)
            except FileConflictError:
                return "conflict"
        return "landed"

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(land, range(len(bodies))))
