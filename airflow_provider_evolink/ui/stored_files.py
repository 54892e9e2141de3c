# SPDX-License-Identifier: Apache-2.0
"""Read parts of a file below a root, on this machine or in a storage. Everything here blocks."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.roots import Location, NotHereError, NotShownError

log = logging.getLogger(__name__)
# What storages report about an object that changes with its content.
_VERSIONED = ("ETag", "etag", "generation", "LastModified", "last_modified", "mtime", "updated")


class StorageError(Exception):
    """A storage that could not be read; the message is for the reader of the page. The log has the reason."""


class OpenFile:
    """An open file of this machine, closed once nobody refers to it.

    :param descriptor: of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)

    @property
    def path(self) -> str | None:
        """A path that leads to this very file, whatever has its name by now; None where the system has no such path."""
        path = f"/proc/self/fd/{self.descriptor}"
        return path if os.path.lexists(path) else None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that can be read.

    :param path: in its storage.
    :param size: in bytes.
    :param version: changes when the file does.
    :param fs: the fsspec file system; None for a file of this machine.
    :param opened: the file of this machine.
    """

    path: str
    size: int
    version: str
    fs: Any = None
    opened: OpenFile | None = None

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from one position up to another.

        :raises StorageError: they can't be read, or the file has become shorter.
        """
        try:
            part = self._part(start, stop)
        except Exception as error:
            raise _unreadable(self.path, error) from error
        if len(part) != stop - start:
            raise StorageError("The file has changed while it was read.")
        return part

    def _part(self, start: int, stop: int) -> bytes:
        if self.opened is not None:
            return os.pread(self.opened.descriptor, stop - start, start)
        return bytes(self.fs.cat_file(self.path, start=start, end=stop))


def open_file(location: Location, file_systems: FileSystems) -> StoredFile:
    """Look a file up.

    :raises NotShownError: it is not there, or not what was looked up.
    :raises StorageError: the storage can't be reached, or refuses.
    """
    try:
        fs = None if location.root.is_local else file_systems.of(location.root)
    except Exception as error:
        raise _unreadable(location.path, error) from error
    return file_in(fs, location.path)


def file_in(fs: Any, path: str) -> StoredFile:
    """Look a file up in a file system; raises as :func:`open_file`.

    :param fs: None = of this machine.
    """
    if fs is None:
        return _local_file(path)
    try:
        info = fs.info(path)
    except FileNotFoundError as error:
        raise NotHereError("The file is not in its storage any more.") from error
    except Exception as error:
        raise _unreadable(path, error) from error
    if info.get("type") != "file" or not isinstance(info.get("size"), int):
        raise NotHereError("The record names a folder.")
    return StoredFile(path, info["size"], _version(info), fs)


def _local_file(path: str) -> StoredFile:
    """Open a file first and look at it then, since whoever may write to its folder could exchange it for a link."""
    try:
        opened = OpenFile(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
    except OSError as error:
        raise NotHereError("The file is not on this machine.") from error
    status = os.fstat(opened.descriptor)
    if not stat.S_ISREG(status.st_mode) or (opened.path is not None and os.readlink(opened.path) != path):  # noqa: PTH115
        raise NotShownError("The file was exchanged while it was looked up.")
    version = _version({"mtime": status.st_mtime_ns, "size": status.st_size})
    return StoredFile(path, status.st_size, version, opened=opened)


def _version(info: dict[str, Any]) -> str:
    known = [f"{name}={info[name]}" for name in ("size", *_VERSIONED) if name in info]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]


def _unreadable(path: str, error: Exception) -> StorageError:
    log.warning("The gallery can't read %s: %s: %s", path, type(error).__name__, sanitize(str(error), ""))
    return StorageError(f"The storage could not be read ({type(error).__name__}); the api-server's log says why.")
