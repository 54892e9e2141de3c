# SPDX-License-Identifier: Apache-2.0
"""
Gives a whole file its final name, in one step, on any storage fsspec knows.

A file is first held in a spool without a name, which vanishes with the process however that ends. From there

- on a local file system the spool itself is given a name, without a second copy where the system can do so;
- on an object store it is uploaded: the object appears once the upload is complete; a failed one is aborted;
- on anything else it is written beside its final name and then moved.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_evolink.api.errors import InvalidInputError, LandingError
from airflow_provider_evolink.landing.spool import nameless

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_LOCAL = frozenset({"", "file", "local"})
_OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "wasbs", "oss"})
# Where it can be said, so that a browser plays what lies there.
_CONTENT_TYPE_OPTION = {
    "s3": "ContentType",
    "s3a": "ContentType",
    "s3n": "ContentType",
    "gs": "content_type",
    "gcs": "content_type",
}
# S3's smallest part: memory holds a few of these at a time. s3fs would take 50 MiB.
_BLOCK_BYTES = 5 * 1024 * 1024
_COPY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """
    A file name in some storage.

    :param fs: the fsspec file system.
    :param path: the name there.
    :param protocol: such as ``s3``.
    """

    fs: Any
    path: str
    protocol: str

    @property
    def uri(self) -> str:
        """The name for people and assets: without connection id and credentials."""
        return f"file://{self.path}" if self.is_local else f"{self.protocol}://{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.protocol in _LOCAL

    @property
    def folder(self) -> str:
        """The name of what holds it."""
        return self.path.rpartition("/")[0]

    def __truediv__(self, name: str) -> Place:
        """Return the place of this relative name below."""
        return Place(self.fs, f"{self.path.rstrip('/')}/{name}", self.protocol)


def place_of(destination: str | ObjectStoragePath) -> Place:
    """
    Open the storage behind a destination.

    :param destination: a path, a URI such as ``s3://conn_id@bucket/folder``, or an ``ObjectStoragePath``.
    :raises InvalidInputError: it is none, or no installed provider knows its scheme.
    """
    from airflow.sdk import ObjectStoragePath

    if not destination or not isinstance(destination, str | ObjectStoragePath):
        raise InvalidInputError("destination", destination, "a path, a storage URI or an ObjectStoragePath")
    try:
        folder = ObjectStoragePath(destination)
        fs = folder.fs
    except (ValueError, ImportError) as error:
        raise InvalidInputError("destination", str(destination), f"storage that Airflow knows ({error})") from error
    protocol = folder.protocol or "file"
    return Place(fs, str(Path(folder.path).absolute()) if protocol in _LOCAL else folder.path, protocol)


def new_spool(destination: Place) -> BinaryIO:
    """Open a file without a name, where it can be given one later if the destination is local."""
    if destination.is_local:
        Path(destination.path).mkdir(parents=True, exist_ok=True)
        with suppress(OSError, AttributeError):
            return nameless(destination.path)
    return cast(BinaryIO, tempfile.TemporaryFile())


def holds(place: Place, size: int, sha256: str) -> bool:
    """Whether a file of this name is there, with this size and, read again, this hash."""
    found = hashlib.sha256()
    # What can't be read counts as not there: it is written again, and if that fails too, that is told.
    with suppress(Exception):
        if _size(place) != size:
            return False
        with place.fs.open(place.path, "rb", block_size=_BLOCK_BYTES) as stored:
            while chunk := stored.read(_COPY_BYTES):
                found.update(chunk)
        return found.hexdigest() == sha256
    return False


def publish(spool: BinaryIO, place: Place, size: int, content_type: str) -> None:
    """
    Give a whole file its final name, in place of what was there.

    :param spool: from :func:`new_spool`, whole.
    :param size: its size in bytes, to compare with what the storage holds afterwards.
    :param content_type: told to the storage where it keeps such.
    :raises LandingError: it could not be written; no half file is left.
    """
    try:
        if place.protocol in _OBJECT_STORES:
            _upload_object(spool, place, size, content_type)
        else:
            _write_file(spool, place)
        stored = _size(place)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise LandingError(f"It could not be written to {place.uri}: {reason}.") from error
    if stored not in {None, size}:
        with suppress(Exception):
            place.fs.rm_file(place.path)
        raise LandingError(f"{place.uri} has {stored} bytes after {size} were written.")


def _size(place: Place) -> int | None:
    """What the storage says; ``None`` if there is nothing, or if it may be written to but not looked at."""
    with suppress(Exception):
        place.fs.invalidate_cache(place.folder)
        return int(place.fs.info(place.path)["size"])
    return None


def _write_file(spool: BinaryIO, place: Place) -> None:
    place.fs.makedirs(place.folder, exist_ok=True)
    beside = f"{place.folder}/{_part_prefix(place)}"
    _sweep(place, beside)
    part = f"{beside}{secrets.token_hex(8)}.part"
    try:
        if place.is_local:
            _name_spool(spool, part, place)
            Path(part).replace(place.path)
            _sync_folder(place.folder)
        else:
            _copy(spool, place.fs, part)
            if place.fs.exists(place.path):
                place.fs.rm_file(place.path)
            place.fs.mv(part, place.path)
    except BaseException:
        with suppress(Exception):
            place.fs.rm_file(part)
        raise


def _name_spool(spool: BinaryIO, part: str, place: Place) -> None:
    """Link the spool where the system can (Linux, same file system), else copy it."""
    spool.flush()
    os.fsync(spool.fileno())
    try:
        # The folder's descriptor is not used, but makes Python follow the link in /proc.
        os.link(f"/proc/self/fd/{spool.fileno()}", part, src_dir_fd=spool.fileno())
    except OSError:
        _copy(spool, place.fs, part)


def _copy(spool: BinaryIO, fs: Any, path: str) -> None:
    spool.seek(0)
    with fs.open(path, "wb", block_size=_BLOCK_BYTES) as target:
        shutil.copyfileobj(spool, target, _COPY_BYTES)
        target.flush()
        with suppress(OSError, AttributeError):
            os.fsync(target.fileno())


def _sync_folder(folder: str) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _part_prefix(place: Place) -> str:
    """Short whatever the final name's length, and the same for the same final name."""
    return f".evolink-{hashlib.sha256(place.path.encode()).hexdigest()[:16]}-"


def _sweep(place: Place, beside: str) -> None:
    """Remove what a killed landing of the same file has left; one that still runs then fails and may retry."""
    with suppress(OSError):
        for name in place.fs.ls(place.folder, detail=False):
            if f"/{name.lstrip('/')}".startswith(f"/{beside.lstrip('/')}"):
                place.fs.rm_file(name)


def _upload_object(spool: BinaryIO, place: Place, size: int, content_type: str) -> None:
    option = _CONTENT_TYPE_OPTION.get(place.protocol)
    if size >= _BLOCK_BYTES:
        _abort_stale_uploads(place)
    spool.seek(0)
    target = place.fs.open(place.path, "wb", block_size=_BLOCK_BYTES, **({option: content_type} if option else {}))
    try:
        shutil.copyfileobj(spool, target, _COPY_BYTES)
        target.close()
    except BaseException:
        _abandon(target)
        raise


def _abandon(target: Any) -> None:
    """Closing, even by the garbage collector, would turn what has been sent into an object."""
    with suppress(Exception):
        target.discard()
    with suppress(AttributeError):
        target.closed = True


def _abort_stale_uploads(place: Place) -> None:
    """S3 keeps the parts of an upload that was killed, unseen and at a price, until somebody aborts it."""
    if not place.protocol.startswith("s3"):
        return
    bucket, key, _ = place.fs.split_path(place.path)
    with suppress(Exception):
        listed = place.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        for upload in listed.get("Uploads", []):
            if upload["Key"] == key:
                place.fs.abort_mpu(bucket, key, upload["UploadId"])
