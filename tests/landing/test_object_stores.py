"""Naming an object on Azure and Google Cloud Storage: what their file systems are asked for."""

from __future__ import annotations

import errno
import hashlib
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile
from media_server import mp4
from publishing import BODY, ID, MIB, SHA, filled, publish, race

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.landing.storage import contains, generation_at
from airflow_provider_evolink.landing.storage_target import StorageTarget


class Upload(AbstractBufferedFile):
    """An upload in blocks, which makes an object when it is closed, as adlfs and gcsfs do."""

    def _initiate_upload(self) -> None:
        self.blocks: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.blocks.append(self.buffer.getvalue())
        if final:
            self.fs.make(self.path, b"".join(self.blocks), self.mode, self.kwargs)
        return True

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.objects[self.path][start:end])


class ObjectStore(MemoryFileSystem):
    """Objects in memory; ``opened`` says how each file was opened for writing."""

    cachable = False

    def __init__(self, *, knows_create: bool = True) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.opened: list[tuple[str, int]] = []
        self._knows_create = knows_create

    def _open(self, path: str, mode: str = "rb", block_size: int = 5, **options: Any) -> Upload:  # type: ignore[override]
        if mode == "xb" and not self._knows_create:
            raise NotImplementedError("File mode not supported")
        if mode != "rb":
            self.opened.append((mode, block_size))
        size = len(self.objects[path]) if mode == "rb" else None
        return Upload(self, path, mode, block_size=block_size, size=size, **options)

    def make(self, path: str, body: bytes, mode: str, facts: dict[str, Any]) -> None:
        # dict.setdefault is atomic, as a store's condition is.
        if mode == "xb" and self.objects.setdefault(path, body) is not body:
            raise FileExistsError(path)
        self.objects[path], self.facts[path] = body, facts

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        metadata = self.facts.get(path, {}).get("metadata")
        return {"name": path, "size": len(self.objects[path]), "type": "file", "metadata": metadata}

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self.objects


def stored(protocol: str, name: str = "0.mp4", **how: Any) -> StorageTarget:
    """A name in a store of its own."""
    return StorageTarget(ObjectStore(**how), f"/bucket/{name}", protocol)


@pytest.mark.parametrize(
    ("protocol", "facts"),
    [
        ("gs", {"content_type": "video/mp4", "content_settings": None}),
        ("gcs", {"content_type": "video/mp4", "content_settings": None}),
        ("abfs", {"content_type": None, "content_settings": {"content_type": "video/mp4"}}),
        ("abfss", {"content_type": None, "content_settings": {"content_type": "video/mp4"}}),
        ("adl", {"content_type": None, "content_settings": {"content_type": "video/mp4"}}),
    ],
)
@pytest.mark.parametrize("size", [5000, 12 * MIB])
def test_object_has_its_type_and_generation(protocol: str, facts: dict[str, Any], size: int) -> None:
    """An object is made only where none is, with its content type, and says whose it is."""
    place = stored(protocol)
    with filled(place, mp4(size)) as spool:
        publish(spool, place, size)
    assert place.fs.opened == [("xb", 5 * MIB)]
    kept = place.fs.facts[place.path]
    assert {name: kept.get(name) for name in ("content_type", "content_settings")} == facts
    assert generation_at(place) == ID
    assert contains(place, size, hashlib.sha256(mp4(size)).hexdigest())


@pytest.mark.parametrize("protocol", ["gs", "abfs"])
@pytest.mark.parametrize("knows_create", [True, False])
def test_object_that_is_there_stays(protocol: str, knows_create: bool) -> None:
    """An object that lies there is left alone, also where the store's file system can't make it conditionally."""
    place = stored(protocol, knows_create=knows_create)
    place.fs.objects[place.path] = b"another's"
    with filled(place) as spool, pytest.raises(FileConflictError, match=f"{protocol}:///bucket/0.mp4"):
        publish(spool, place, len(BODY))
    assert place.fs.objects == {place.path: b"another's"}
    with filled(place) as spool:
        publish(spool, place, len(BODY), replace=True)
    assert contains(place, len(BODY), SHA)


def test_two_uploads_meet() -> None:
    """Of two uploads under one name one lands, and the other is told."""
    for number in range(50):
        place = stored("abfs", f"{number}.mp4")
        ends = race([mp4(5000, "a"), mp4(6000, "b")], [place, place])
        assert sorted(ends) == ["conflict", "landed"]
        assert len(place.fs.objects[place.path]) == (5000 if ends[0] == "landed" else 6000)


def test_other_object_store_is_looked_at_first() -> None:
    """A store that this package knows nothing of is looked at before the object is made."""
    place = stored("oss", knows_create=False)
    with filled(place) as spool:
        publish(spool, place, len(BODY))
    assert contains(place, len(BODY), SHA)
    with filled(place) as spool, pytest.raises(FileConflictError):
        publish(spool, place, len(BODY))


def test_failed_upload_makes_no_object() -> None:
    """An upload that fails in the middle makes no object, not even when it is forgotten."""
    place = stored("gs")
    with filled(place, mp4(12 * MIB)) as spool:
        read, spool.read = spool.read, lambda size=-1: _read(read, spool, size)  # type: ignore[method-assign]
        with pytest.raises(LandingError, match="Input/output error"):
            publish(spool, place, 12 * MIB)
    assert place.fs.objects == {}


def _read(read: Any, spool: Any, size: int) -> bytes:
    if spool.tell() >= 8 * MIB:
        raise OSError(errno.EIO, "Input/output error")
    return bytes(read(size))
