# SPDX-License-Identifier: Apache-2.0
"""Publishing on storage that is neither local nor an object store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.storage import contains
from airflow_provider_evolink.landing.storage_target import StorageTarget
from tests.landing.publishing import BODY, SHA, publish, staged


def test_write_and_move() -> None:
    """On storage that shows partial files, the file is written under a temporary name first."""
    fs = MemoryFileSystem()
    destination = StorageTarget(fs, "/elsewhere", "memory")
    fs.makedirs("/elsewhere")
    for replace in (False, True):
        with staged(destination) as staging_file:
            publish(staging_file, destination / "task-1/0.mp4", len(BODY), replace=replace)
    with staged(destination) as staging_file, pytest.raises(FileConflictError):
        publish(staging_file, destination / "task-1/0.mp4", len(BODY))
    assert fs.find("/elsewhere") == ["/elsewhere/task-1/0.mp4"]
    assert contains(destination / "task-1/0.mp4", len(BODY), SHA)
    assert (destination / "a").uri == "memory:///elsewhere/a"


class OverwrittenStorage(MemoryFileSystem):
    """Storage where another file is written right after each move."""

    protocol = "overwritten"

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.rm_file(path1)
        self.pipe_file(path2, b"another's")


def test_another_file_is_not_taken_for_a_partial_one() -> None:
    """A file of another size is removed only if it is the first part of ours."""
    target = StorageTarget(OverwrittenStorage(), "/overwritten/0.mp4", "overwritten")
    with staged(target) as staging_file, pytest.raises(LandingError, match=r"\b9 bytes.*\b200000\b"):
        publish(staging_file, target, len(BODY))
    assert target.fs.cat_file(target.path) == b"another's"


def test_recent_temporary_file_is_left_alone() -> None:
    """A temporary file of another landing is removed after a day, not before."""
    fs = MemoryFileSystem()
    target = StorageTarget(fs, "/days/0.mp4", "memory")
    prefix = f"/days/{part_prefix(Path(target.path))}"
    for name in ("old", "new"):
        fs.pipe_file(f"{prefix}{name}.part", b"half")
    fs.store[f"{prefix}old.part"].modified = datetime.now(UTC) - timedelta(hours=25)
    with staged(target) as staging_file:
        publish(staging_file, target, len(BODY))
    assert fs.find("/days") == [f"{prefix}new.part", "/days/0.mp4"]


class LossyStorage(MemoryFileSystem):
    """Storage that silently loses the end of a file."""

    protocol = "lossy"

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.pipe_file(path2, self.cat_file(path1)[:-1])
        self.rm_file(path1)


def test_truncated_file_is_removed() -> None:
    """If the storage has less than was written, that is an error, and the partial file is removed."""
    target = StorageTarget(LossyStorage(), "/lossy/0.mp4", "lossy")
    with staged(target) as staging_file, pytest.raises(LandingError, match=r"\b199999 bytes.*\b200000\b"):
        publish(staging_file, target, len(BODY))
    assert target.fs.find("/lossy") == []


class UnderreportingStorage(MemoryFileSystem):
    """Storage that reports less than was written."""

    protocol = "short"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        info: dict[str, Any] = super().info(path)
        return {**info, "size": info["size"] - 1}

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        raise AssertionError("an incomplete file was moved to its name")


def test_truncated_copy_is_not_moved() -> None:
    """If the storage has less than was written, the file is not moved to its name."""
    target = StorageTarget(UnderreportingStorage(), "/short/0.mp4", "short")
    with staged(target) as staging_file, pytest.raises(LandingError, match=r"\b199999 bytes.*\b200000\b"):
        publish(staging_file, target, len(BODY))
    assert target.fs.find("/short") == []
