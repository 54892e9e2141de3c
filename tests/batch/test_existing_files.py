# SPDX-License-Identifier: Apache-2.0
"""Which rows have their files already: on disks and in object stores, with few listings."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_evolink.api.errors import LandingError, StorageRefusedError
from airflow_provider_evolink.batch.existing_files import ExistingFiles
from airflow_provider_evolink.batch.names import row_pattern
from airflow_provider_evolink.batch.rows import Row
from airflow_provider_evolink.landing.storage_target import StorageTarget, storage_target
from testkit.s3 import BUCKET, S3

FILES = (
    "A1/0.mp4",
    "A1/1.png",
    "A1/x.mp4",
    "A1/.evolink-0123456789abcdef-00.part",
    "A1/2.mp4/inner.txt",
    "A10/0.mp4",
    "flat-A1.mp4",
    "flat-A1-000.mp4",
    "flat-A1.tar.gz",
    "video/B.mp4",
    "image/B.jpg",
    "veo-3.1/A1_cover.jpg",
    "posters/A1-veo.mp4",
    "posters/A1-veo.mp4.poster.jpg",
    "posters/A2-veo.mp4.poster.jpg",
    "posters/A3.poster.jpg",
    "{key}/0.mp4",
    "{generation_id}/A1.mp4",
)
CASES = [
    ("{key}/{index}.{ext}", "A1", ["A1/0.mp4", "A1/1.png"]),
    ("{key}/{index:03d}.{ext}", "A1", ["A1/0.mp4", "A1/1.png"]),
    ("{key}/{index}.mp4", "A1", ["A1/0.mp4"]),
    ("{key}/{index}.{ext}", "A", []),
    ("{key}/{index}.{ext}", "A10", ["A10/0.mp4"]),
    ("flat-{key}.{ext}", "A1", ["flat-A1.mp4"]),
    ("flat-{key}-{index}.{ext}", "A1", ["flat-A1-000.mp4"]),
    ("{kind}/{key}.{ext}", "B", ["image/B.jpg", "video/B.mp4"]),
    ("{model}/{key}_{role}.{ext}", "A1", ["veo-3.1/A1_cover.jpg"]),
    ("{key}/{model}.{ext}", "A1", ["A1/0.mp4", "A1/1.png", "A1/x.mp4"]),
    ("posters/{key}-{model}.{ext}", "A1", ["posters/A1-veo.mp4"]),
    ("posters/{key}-{model}.{ext}", "A2", []),
    ("posters/{key}.poster.{ext}", "A3", ["posters/A3.poster.jpg"]),
    ("{generation_id}/{key}.{ext}", "A1", []),
    ("{{key}}/{index}.{ext}", "A1", ["{key}/0.mp4"]),
    ("{{generation_id}}/{key}.{ext}", "A1", ["{generation_id}/A1.mp4"]),
    ("nowhere/{key}/{index}.{ext}", "A1", []),
    ("flat-{key}.mp4/{index}.{ext}", "A1", []),
]


def found(existing: ExistingFiles, pattern: str, key: str) -> list[str]:
    """Return the URIs of a row's files."""
    return [file.uri for file in existing.of(row_pattern(pattern, Row(1, key, {})))]


@pytest.fixture
def local(tmp_path: Path) -> StorageTarget:
    """A folder with files on this machine."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return storage_target(str(tmp_path))


class CountingFileSystem(MemoryFileSystem):
    """A file system in memory that records which folders are listed."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]  # type: ignore[misc]
        self.listed: list[str] = []

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        """Record the folder."""
        self.listed.append(path.strip("/"))
        return super().ls(path, detail=detail, **kwargs)


@pytest.fixture
def memory() -> StorageTarget:
    """A folder on a file system that counts its listings."""
    fs = CountingFileSystem()
    for name in FILES:
        fs.pipe_file(f"/videos/{name}", b"")
    return StorageTarget(fs, "/videos", "memory")


@pytest.mark.parametrize(("pattern", "key", "names"), CASES)
def test_on_disk(local: StorageTarget, pattern: str, key: str, names: list[str]) -> None:
    """A row's files are those that its pattern may name; leftovers and folders are none."""
    assert found(ExistingFiles(local), pattern, key) == [(local / name).uri for name in names]


@pytest.mark.parametrize(("pattern", "key", "names"), CASES)
def test_on_any_file_system(memory: StorageTarget, pattern: str, key: str, names: list[str]) -> None:
    """The same files are found through fsspec."""
    assert found(ExistingFiles(memory), pattern, key) == [(memory / name).uri for name in names]


def test_in_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files are found in S3, a folder that is not there has none, and its client keeps no listing."""
    monkeypatch.setenv("AIRFLOW_CONN_ROWS_S3", s3.connection)
    fs = s3.file_system()
    for name in FILES:
        fs.pipe_file(f"{BUCKET}/rows/{name}", b"x")
    target = storage_target(f"s3://rows_s3@{BUCKET}/rows")
    existing = ExistingFiles(target)
    for pattern, key, names in CASES:
        assert found(existing, pattern, key) == [f"s3://{BUCKET}/rows/{name}" for name in names]
    assert not target.fs.dircache
    assert found(ExistingFiles(storage_target(f"s3://rows_s3@{BUCKET}/none")), "{key}.{ext}", "A1") == []
    assert found(ExistingFiles(storage_target(f"s3://rows_s3@{BUCKET}")), "rows/{key}/{index}.mp4", "A1")


def test_a_missing_bucket_is_no_empty_folder(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that does not exist ends the batch before anything is paid for, with its connection."""
    monkeypatch.setenv("AIRFLOW_CONN_ROWS_S3", s3.connection)
    with pytest.raises(StorageRefusedError, match=r"no-such-bucket.*rows_s3"):
        found(ExistingFiles(storage_target("s3://rows_s3@no-such-bucket/x")), "{key}.{ext}", "A1")


def test_missing_folder(tmp_path: Path) -> None:
    """A destination that does not exist yet has no files."""
    assert found(ExistingFiles(storage_target(str(tmp_path / "new"))), "{key}/{index}.{ext}", "A1") == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """A destination that can't be listed is an error that says so, and what a retry does."""
    (tmp_path / "file").touch()
    with pytest.raises(LandingError, match=r"can't be listed.*retry"):
        found(ExistingFiles(storage_target(str(tmp_path / "file"))), "{key}/{index}.{ext}", "A1")


def test_listings_do_not_grow_with_rows(memory: StorageTarget) -> None:
    """Rows without files cost no listing each, and a folder that all rows share is listed once."""
    existing = ExistingFiles(memory)
    for number in range(1000):
        found(existing, "{key}/{index}.{ext}", f"new-{number}")
        found(existing, "sub/flat-{key}.{ext}", f"new-{number}")
    found(existing, "{key}/{index}.{ext}", "A1")
    assert memory.fs.listed == ["videos", "videos/A1"]


def test_posters_are_found_with_their_files(tmp_path: Path, memory: StorageTarget) -> None:
    """The listing that finds a row's files also says which of them have a poster beside them."""
    for name in ("A1/0.mp4", "A1/0.mp4.poster.jpg", "A1/1.mp4", "A1/2.mp4.poster.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    target = storage_target(str(tmp_path))

    files = ExistingFiles(target).of("A1/{index}.{ext}")

    assert [file.poster for file in files] == [(target / "A1/0.mp4.poster.jpg").uri, None]
    posters = {file.poster for key in ("A1", "A2") for file in ExistingFiles(memory).of(f"posters/{key}-{{model}}.mp4")}
    assert posters == {(memory / "posters/A1-veo.mp4.poster.jpg").uri}


def test_folders_of_rows_are_not_kept(tmp_path: Path) -> None:
    """The names in the folders of rows are forgotten, so that memory does not grow with their number."""
    for number in range(1000):
        (tmp_path / f"row-{number}").mkdir()
        (tmp_path / f"row-{number}" / "0.mp4").touch()
    existing = ExistingFiles(storage_target(str(tmp_path)))
    tracemalloc.start()
    try:
        # The first ones fill the cache of regular expressions.
        assert all(found(existing, "{key}/{index}.{ext}", f"row-{number}") for number in range(600))
        before, _ = tracemalloc.get_traced_memory()
        assert all(found(existing, "{key}/{index}.{ext}", f"row-{number}") for number in range(600, 1000))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000


class Name(str):
    """A name that counts how often it is looked at."""

    __slots__ = ()
    looks = 0

    def startswith(self, *args: Any) -> bool:
        """Count a look."""
        Name.looks += 1
        return super().startswith(*args)


def test_thousands_of_files_in_one_folder(tmp_path: Path) -> None:
    """Finding a row's file does not look at the names of all the others."""
    for number in range(2000):
        (tmp_path / f"{number}.mp4").touch()
    existing = ExistingFiles(storage_target(str(tmp_path)))
    files = existing._listing("").files
    files[:] = map(Name, files)  # type: ignore[index]
    assert all(len(found(existing, "{key}.{ext}", str(number))) == 1 for number in range(2000))
    assert Name.looks < 3 * 2000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed(tmp_path: Path) -> None:
    """A folder without permission is an error, not an empty one."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    with pytest.raises(LandingError, match="PermissionError"):
        found(ExistingFiles(storage_target(str(folder))), "{key}/{index}.{ext}", "A1")
