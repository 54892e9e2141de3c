# SPDX-License-Identifier: Apache-2.0
"""Files that are written once: exactly one of several writers succeeds, on every storage that may hold a ledger."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_evolink.landing import create_only
from airflow_provider_evolink.landing.create_only import PROBE, CreateOnlyFolder, OverwritesError
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.s3 import BUCKET, S3

WRITERS = 8


@dataclass(frozen=True)
class Storage:
    """A storage under test.

    :param open: opens a folder in it, each time as another process would.
    """

    open: Callable[[str], CreateOnlyFolder]


def in_s3(server: S3, folder: str, bucket: str = BUCKET) -> CreateOnlyFolder:
    """Return a folder on an S3 server."""
    return CreateOnlyFolder(StorageTarget(server.file_system(), f"{bucket}/{folder}", "s3"))


def on_disk(path: Path) -> CreateOnlyFolder:
    """Return a folder on this machine."""
    return CreateOnlyFolder(StorageTarget(fsspec.filesystem("file"), str(path), "file"))


@pytest.fixture
def disk(tmp_path: Path) -> Storage:
    """A folder on this machine."""

    def open_folder(name: str) -> CreateOnlyFolder:
        (tmp_path / name).mkdir(exist_ok=True)
        return on_disk(tmp_path / name)

    return Storage(open_folder)


@pytest.fixture
def conditional(conditional_s3: S3) -> Storage:
    """An S3 server that supports If-None-Match."""
    return Storage(lambda name: in_s3(conditional_s3, name))


# Another storage is a fixture that returns a Storage, and its name here.
@pytest.fixture(params=["disk", "conditional"])
def storage(request: pytest.FixtureRequest) -> Storage:
    """Each storage that may hold a ledger."""
    found: Storage = request.getfixturevalue(request.param)
    return found


def create(folder: CreateOnlyFolder, name: str, data: bytes) -> bool:
    """Return whether this writer has created the file."""
    try:
        folder.create(name, data)
    except FileExistsError:
        return False
    return True


def test_one_of_several_writers_succeeds(storage: Storage) -> None:
    """Of eight writers at once exactly one creates the file, and what it wrote is what is read."""
    folders = [storage.open("race") for _ in range(WRITERS)]
    for round_number in range(5):
        name, start = f"{round_number}.json", Barrier(WRITERS)

        def write(number: int, name: str = name, start: Barrier = start) -> bool:
            start.wait()
            return create(folders[number], name, b"%d" % number)

        with ThreadPoolExecutor(WRITERS) as pool:
            outcomes = list(pool.map(write, range(WRITERS)))

        assert outcomes.count(True) == 1
        assert folders[0].read(name) == b"%d" % outcomes.index(True)
    assert sorted(folders[1].names()) == [f"{number}.json" for number in range(5)]


def test_the_storage_passes_its_check(storage: Storage) -> None:
    """The check passes, again and again, and leaves one small file behind."""
    for _ in range(3):
        storage.open("checked").check()

    assert storage.open("checked").names() == [PROBE]


def test_what_others_create_is_listed_at_once(storage: Storage) -> None:
    """A listing is not remembered."""
    folder = storage.open("listed") / "a" / "b"
    assert folder.names() == []

    for number in range(3):
        (storage.open("listed") / "a" / "b").create(f"{number}.json", b"")
        assert len(folder.names()) == number + 1
    assert (storage.open("listed") / "a").names() == ["b"]


def test_a_plain_value_is_replaced(storage: Storage) -> None:
    """What may be overwritten is."""
    folder = storage.open("plain")
    folder.replace("memory.json", b"1")
    folder.replace("memory.json", b"2")

    assert folder.read("memory.json") == b"2"


def test_what_is_missing_is_named(storage: Storage) -> None:
    """The error of a file that is gone says which."""
    with pytest.raises(OSError, match=r"000001\.json"):
        storage.open("missing").read("000001.json")


def test_a_server_that_ignores_the_condition_is_refused(s3: S3) -> None:
    """An S3 server that overwrites nevertheless, such as rclone's, is found out."""
    folder = in_s3(s3, "overwritten")

    with pytest.raises(OverwritesError, match="created twice"):
        folder.check()


def test_a_missing_bucket_is_no_empty_folder(conditional_s3: S3) -> None:
    """What is empty a payment; a bucket that is missing must not look empty."""
    folder = in_s3(conditional_s3, "ledger", bucket="no-such-bucket")

    with pytest.raises(OSError, match="no-such-bucket"):
        folder.names()
    with pytest.raises(OSError, match="no-such-bucket"):
        folder.check()


@pytest.mark.parametrize("protocol", ["memory", "sftp", "webdav", "hdfs", "smb", "oss", "az"])
def test_other_storage_is_refused(protocol: str) -> None:
    """Storage that looks first and then writes lets two writers succeed, so it isn't even asked."""
    fs = MemoryFileSystem(skip_instance_cache=True)
    folder = CreateOnlyFolder(StorageTarget(fs, "/ledger", protocol))

    with pytest.raises(OverwritesError, match=protocol):
        folder.check()
    assert not fs.exists("/ledger")


class OldClient(MemoryFileSystem):
    """A file system from before there was a mode."""

    cachable = False

    def pipe_file(self, path: str, value: bytes) -> None:  # type: ignore[override]
        """Write a file."""
        super().pipe_file(path, value)


def test_an_old_client_is_refused() -> None:
    """A client that does not know the condition is named."""
    folder = CreateOnlyFolder(StorageTarget(OldClient(), "/bucket/ledger", "abfs"))

    with pytest.raises(OverwritesError, match="OldClient"):
        folder.check()


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links, such as FAT."""

    def link(source: Any, target: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(target))

    monkeypatch.setattr(create_only.os, "link", link)


@pytest.mark.usefixtures("no_links")
def test_a_disk_without_hard_links_is_refused(disk: Storage) -> None:
    """There, nothing can be created whole and only once."""
    folder = disk.open("linkless")

    with pytest.raises(OverwritesError, match="hard links"):
        folder.check()
    assert folder.names() == []


def test_a_folder_that_is_not_mounted_is_not_created(tmp_path: Path) -> None:
    """On a worker without the shared file system, an empty folder would look like an empty ledger."""
    folder = on_disk(tmp_path / "shared" / "evolink")

    with pytest.raises(FileNotFoundError, match="shared/evolink"):
        folder.check()
    assert not (tmp_path / "shared").exists()


@pytest.fixture
def part_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are linked, while a file gets its own."""
    linked: list[str] = []
    link = os.link

    def note(source: Any, target: Any) -> None:
        assert Path(source).read_bytes() == b"whole"
        linked.append(Path(source).name)
        link(source, target)

    monkeypatch.setattr(create_only.os, "link", note)
    return linked


def test_a_file_is_whole_when_it_appears(disk: Storage, part_files: list[str]) -> None:
    """A file on disk gets its name once it is complete, and a part that a kill leaves behind is no record."""
    folder = disk.open("whole")
    folder.create("000001.json", b"whole")

    assert len(part_files) == 1
    assert part_files[0].endswith(".part")
    assert folder.names() == ["000001.json"]
