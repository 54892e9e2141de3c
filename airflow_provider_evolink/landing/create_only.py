# SPDX-License-Identifier: Apache-2.0
"""Create small files of which none is ever overwritten, in a folder on storage that can refuse to.

Creating is one atomic step that fails if there is a file of that name, and a file is complete once it is there: on
local file systems by a hard link, also on those that several machines share; on S3, Azure and Google by a conditional
write.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from airflow_provider_evolink.landing.local import make_directory, sync_folder
from airflow_provider_evolink.landing.storage_errors import (
    already_exists,
    describe,
    is_missing_folder,
    lacks_conditional_writes,
)
from airflow_provider_evolink.landing.storage_target import LOCAL, OBJECT_STORES, StorageTarget

# By which the storage shows that it refuses to overwrite. It stays there, so that most checks take one request.
PROBE = "created-only-once.txt"
_PROBE_TEXT = b"This file shows that the storage refuses to overwrite what exists. It may be removed at any time.\n"
# fsspec's other file systems look whether there is a file and then write it, so that both of two writers succeed.
_CONDITIONAL = OBJECT_STORES - {"oss"}
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV})


class OverwritesError(OSError):
    """The storage overwrites files, or can't be asked not to."""


@dataclass(frozen=True, slots=True)
class CreateOnlyFolder:
    """A folder of files that are written once.

    Every method raises an ``OSError`` that says which file could not be read or written, and why, if the storage fails.

    :param target: where it is; created with its first file.
    """

    target: StorageTarget

    def __truediv__(self, name: str) -> Self:
        """Return a folder in it."""
        return replace(self, target=self.target / name)

    @property
    def uri(self) -> str:
        """Its URI, for messages."""
        return self.target.uri

    def names(self) -> list[str]:
        """Return the names of its files and folders, in any order; none if there is no such folder."""
        with _named(self.target, "listed"):
            try:
                return _list(self.target)
            except Exception as error:
                if is_missing_folder(error):
                    return []
                raise

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        file = self.target / name
        with _named(file, "read"):
            return Path(file.path).read_bytes() if file.is_local else bytes(file.fs.cat_file(file.path))

    def create(self, name: str, data: bytes) -> None:
        """Write a file that does not exist yet; it is durable on return.

        :raises FileExistsError: there is one, possibly this very one if an answer of the storage was lost.
        """
        file = self.target / name
        with _named(file, "written"):
            if file.is_local:
                _link(Path(file.path), data)
            else:
                _put_if_absent(file, data)

    def replace(self, name: str, data: bytes) -> None:
        """Write a file, over an existing one."""
        file = self.target / name
        with _named(file, "written"):
            if file.is_local:
                with _part(Path(file.path), data) as part:
                    part.replace(file.path)
            else:
                file.fs.pipe_file(file.path, data)

    def check(self) -> None:
        """Make sure that the storage refuses to overwrite, by creating a file of a reserved name in it, twice at most.

        :raises OverwritesError: it does not.
        :raises FileNotFoundError: a local folder does not exist. It is not created, since it would be an empty one if a
            file system that several machines share is not mounted here.
        """
        check_scheme(self.target.protocol)
        if self.target.is_local and not Path(self.target.path).is_dir():
            raise FileNotFoundError(f"there is no folder {self.target.path} on this worker")
        for _ in range(2):
            try:
                self.create(PROBE, _PROBE_TEXT)
            except FileExistsError:
                return
        raise OverwritesError(f"{(self.target / PROBE).uri} was created twice, so the storage overwrites files")


def check_scheme(scheme: str) -> None:
    """Refuse storage that can't create a file only if there is none, whatever is installed for it.

    :raises OverwritesError: it can't.
    """
    if scheme not in LOCAL | _CONDITIONAL:
        raise OverwritesError(f"{scheme}:// can't create a file only if there is none")


def _list(folder: StorageTarget) -> list[str]:
    if folder.is_local:
        return [path.name for path in Path(folder.path).iterdir()]
    # File systems remember listings.
    folder.fs.invalidate_cache(folder.path)
    paths = folder.fs.ls(folder.path, detail=False)
    return [name for path in paths if (name := path.rstrip("/").rpartition("/")[2])]


def _put_if_absent(file: StorageTarget, data: bytes) -> None:
    try:
        file.fs.pipe_file(file.path, data, mode="create")
    except TypeError as error:
        # An old client without this mode.
        raise OSError(errno.ENOTSUP, f"{type(file.fs).__name__} is too old to create files only if absent") from error


def _link(path: Path, data: bytes) -> None:
    with _part(path, data) as part:
        try:
            os.link(part, path)
        except OSError as error:
            if error.errno in _NO_HARD_LINKS:
                raise OSError(errno.ENOTSUP, "this file system has no hard links") from error
            raise


@contextmanager
def _part(path: Path, data: bytes) -> Iterator[Path]:
    """Write a file under a temporary name beside its own, which it gets within the context."""
    make_directory(path.parent)
    part = path.with_name(f".{path.name}-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield part
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _named(target: StorageTarget, done: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if already_exists(error):
            raise FileExistsError(f"{target.uri} exists") from error
        if lacks_conditional_writes(error):
            raise OverwritesError(f"{target.uri}: {describe(error)}") from error
        raise OSError(f"{target.uri} could not be {done}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Describe an error without its path: that of a temporary file helps nobody."""
    strerror = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {strerror}" if strerror else describe(error)
