"""Naming a file on storage that is neither local nor an object store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from publishing import BODY, SHA, filled, publish

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.storage import contains
from airflow_provider_evolink.landing.storage_target import StorageTarget


def test_other_storage_is_written_beside_and_moved() -> None:
    """On storage that shows half files, the file is written under another name first."""
    fs = MemoryFileSystem()
    destination = StorageTarget(fs, "/elsewhere", "memory")
    fs.makedirs("/elsewhere")
    for replace in (False, True):
        with filled(destination) as spool:
            publish(spool, destination / "task-1/0.mp4", len(BODY), replace=replace)
    with filled(destination) as spool, pytest.raises(FileConflictError):
        publish(spool, destination / "task-1/0.mp4", len(BODY))
    assert fs.find("/elsewhere") == ["/elsewhere/task-1/0.mp4"]
    assert contains(destination / "task-1/0.mp4", len(BODY), SHA)
    assert (destination / "a").uri == "memory:///elsewhere/a"


class Fickle(MemoryFileSystem):
    """Storage on which something else is written as soon as a file has been moved."""

    protocol = "fickle"

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.rm_file(path1)
        self.pipe_file(path2, b"another's")


def test_another_file_is_not_taken_for_a_half_one() -> None:
    """A file of another size is removed only if it is the beginning of ours."""
    target = StorageTarget(Fickle(), "/fickle/0.mp4", "fickle")
    with filled(target) as spool, pytest.raises(LandingError, match="9 bytes after 200000"):
        publish(spool, target, len(BODY))
    assert target.fs.cat_file(target.path) == b"another's"


def test_running_copy_elsewhere_is_left_alone() -> None:
    """On other storage, what another landing has left beside the file is removed after a day, not before."""
    fs = MemoryFileSystem()
    target = StorageTarget(fs, "/days/0.mp4", "memory")
    prefix = f"/days/{part_prefix(Path(target.path))}"
    for name in ("old", "new"):
        fs.pipe_file(f"{prefix}{name}.part", b"half")
    fs.store[f"{prefix}old.part"].modified = datetime.now(UTC) - timedelta(hours=25)
    with filled(target) as spool:
        publish(spool, target, len(BODY))
    assert fs.find("/days") == [f"{prefix}new.part", "/days/0.mp4"]


class Lossy(MemoryFileSystem):
    """Storage that loses the end of a file and does not say so."""

    protocol = "lossy"

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.pipe_file(path2, self.cat_file(path1)[:-1])
        self.rm_file(path1)


def test_short_file_is_not_left() -> None:
    """If the storage holds less than was written, that is told, and the half file is removed."""
    target = StorageTarget(Lossy(), "/lossy/0.mp4", "lossy")
    with filled(target) as spool, pytest.raises(LandingError, match="199999 bytes after 200000"):
        publish(spool, target, len(BODY))
    assert target.fs.find("/lossy") == []


class Short(MemoryFileSystem):
    """Storage that says that less was written."""

    protocol = "short"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().info(path)
        return {**found, "size": found["size"] - 1}

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        raise AssertionError("a file that is not whole was to get its name")


def test_short_copy_gets_no_name() -> None:
    """If less lies there than was written, it is not moved."""
    target = StorageTarget(Short(), "/short/0.mp4", "short")
    with filled(target) as spool, pytest.raises(LandingError, match="199999 bytes after 200000"):
        publish(spool, target, len(BODY))
    assert target.fs.find("/short") == []
