"""Publishes whole files as a landing does, one or several at the same moment."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem
from media_server import mp4

from airflow_provider_evolink.api.errors import FileConflictError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.storage import new_spool
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.landing.whole_file import WholeFile

BODY = mp4(200_000)
SHA = hashlib.sha256(BODY).hexdigest()
MIB = 1024 * 1024
ID = "task-unified-1757169743-7cvnl5zw"


class FakeStore:
    """Airflow's task state store, as a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.rows[key] = json.dumps(value)


def local(folder: Path) -> StorageTarget:
    """A folder of this machine."""
    return StorageTarget(LocalFileSystem(), str(folder), "file")


def filled(place: StorageTarget, body: bytes = BODY) -> BinaryIO:
    """A spool with a whole file."""
    spool = new_spool(place)
    spool.write(body)
    return spool


def publish(spool: BinaryIO, place: StorageTarget, size: int, content_type: str = "video/mp4", **how: Any) -> None:
    """Give the file its name, as generation ``ID``."""
    storage.publish(WholeFile(spool, size, content_type, ID), place, **how)


def files_in(folder: Path) -> list[str]:
    """Every file, whatever its name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def race(bodies: list[bytes], places: list[StorageTarget], **how: Any) -> list[str]:
    """Publish every body at the same moment, each in a thread at a place of its own; say how each ended."""
    barrier = threading.Barrier(len(bodies))

    def land(number: int) -> str:
        target = places[number]
        with filled(StorageTarget(target.fs, target.folder, target.protocol), bodies[number]) as spool:
            barrier.wait()
            try:
                publish(spool, target, len(bodies[number]), **how)
            except FileConflictError:
                return "conflict"
        return "landed"

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(land, range(len(bodies))))
