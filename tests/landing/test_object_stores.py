# SPDX-License-Identifier: Apache-2.0
"""Publishing on Azure and Google Cloud Storage: how their file systems are called."""

from __future__ import annotations

import errno
import hashlib
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.landing.storage import contains, stored_generation_id
from airflow_provider_evolink.landing.storage_target import StorageTarget
from tests.landing.media_server import mp4
from tests.landing.publishing import BODY, ID, MIB, SHA, publish, race, staged


class Upload(AbstractBufferedFile):
    """An upload in blocks that creates an object when it is closed, like those of adlfs and gcsfs."""

    def _initiate_upload(self) -> None:
        self.blocks: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.blocks.append(self.buffer.getvalue())
        if final:
            self.fs.create_object(self.path, b"".join(self.blocks), self.mode, self.kwargs)
        return True

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.objects[self.path][start:end])


class ObjectStore(MemoryFileSystem):
    """Objects in memory; ``opened`` records how each file was opened for writing."""

    cachable = False

    def __init__(self, *, supports_create: bool = True) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.opened: list[tuple[str, int]] = []
        self._supports_create = supports_create

    def _open(self, path: str, mode: str = "rb", block_size: int = 5, **options: Any) -> Upload:  # type: ignore[override]
        if mode == "xb" and not self._supports_create:
            raise NotImplementedError("File mode not supported")
        if mode != "rb":
            self.opened.append((mode, block_size))
        size = len(self.objects[path]) if mode == "rb" else None
        return Upload(self, path, mode, block_size=block_size, size=size, **options)

    def create_object(self, path: str, body: bytes, mode: str, options: dict[str, Any]) -> None:
        # dict.setdefault is atomic, like a store's condition.
        if mode == "xb" and self.objects.setdefault(path, body) is not body:
            raise FileExistsError(path)
        self.objects[path], self.options[path] = body, options

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        metadata = self.options.get(path, {}).get("metadata")
        return {"name": path, "size": len(self.objects[path]), "type": "file", "metadata": metadata}

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self.objects


def stored(protocol: str, name: str = "0.mp4", **options: Any) -> StorageTarget:
    """Return a target in a new store."""
    return StorageTarget(ObjectStore(**options), f"/bucket/{name}", protocol)


@pytest.mark.parametrize(
    ("protocol", "content_options"),
    [
        ("gs", {"content_type": "video/mp4", "content_settings": None}),
        ("gcs", {"content_type": "video/mp4", "content_settings": None}),
        ("abfs", {"content_type": None, "content_settings": {"content_type": "video/mp4"}}),
        ("abfss", {"content_type": None, "content_settings": {"content_type": "video/mp4"}}),
        ("adl", {"content_type": None, "content_settings": {"content_type": "video/mp4"}}),
    ],
)
@pytest.mark.parametrize("size", [5000, 12 * MIB])
def test_content_type_and_generation_id_are_stored(protocol: str, content_options: dict[str, Any], size: int) -> None:
    """An object is created conditionally, with its content type and generation id."""
    target = stored(protocol)
    with staged(target, mp4(size)) as staging_file:
        publish(staging_file, target, size)
    assert target.fs.opened == [("xb", 5 * MIB)]
    stored_options = target.fs.options[target.path]
    assert {name: stored_options.get(name) for name in ("content_type", "content_settings")} == content_options
    assert stored_generation_id(target) == ID
    assert contains(target, size, hashlib.sha256(mp4(size)).hexdigest())


@pytest.mark.parametrize("protocol", ["gs", "abfs"])
@pytest.mark.parametrize("supports_create", [True, False])
def test_existing_object_is_left_alone(protocol: str, supports_create: bool) -> None:
    """An existing object is left alone, even if the store's file system has no conditional writes."""
    target = stored(protocol, supports_create=supports_create)
    target.fs.objects[target.path] = b"another's"
    with staged(target) as staging_file, pytest.raises(FileConflictError, match=f"{protocol}:///bucket/0.mp4"):
        publish(staging_file, target, len(BODY))
    assert target.fs.objects == {target.path: b"another's"}
    with staged(target) as staging_file:
        publish(staging_file, target, len(BODY), replace=True)
    assert contains(target, len(BODY), SHA)


def test_concurrent_uploads() -> None:
    """Of two concurrent uploads one lands, and the other gets a conflict."""
    for number in range(50):
        target = stored("abfs", f"{number}.mp4")
        outcomes = race([mp4(5000, "a"), mp4(6000, "b")], [target, target])
        assert sorted(outcomes) == ["conflict", "landed"]
        assert len(target.fs.objects[target.path]) == (5000 if outcomes[0] == "landed" else 6000)


def test_unknown_object_store_is_checked_first() -> None:
    """A store without special support is checked before the object is created."""
    target = stored("oss", supports_create=False)
    with staged(target) as staging_file:
        publish(staging_file, target, len(BODY))
    assert contains(target, len(BODY), SHA)
    with staged(target) as staging_file, pytest.raises(FileConflictError):
        publish(staging_file, target, len(BODY))


def test_failed_upload_creates_no_object() -> None:
    """An upload that fails in the middle creates no object, not even when it is garbage collected."""
    target = stored("gs")
    with staged(target, mp4(12 * MIB)) as staging_file:
        read, staging_file.read = staging_file.read, lambda size=-1: _read(read, staging_file, size)  # type: ignore[method-assign]
        with pytest.raises(LandingError, match="Input/output error"):
            publish(staging_file, target, 12 * MIB)
    assert target.fs.objects == {}


def _read(read: Any, staging_file: Any, size: int) -> bytes:
    if staging_file.tell() >= 8 * MIB:
        raise OSError(errno.EIO, "Input/output error")
    return bytes(read(size))
