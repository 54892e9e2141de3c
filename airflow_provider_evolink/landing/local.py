# SPDX-License-Identifier: Apache-2.0
"""Publish a complete file on a local file system, in one atomic step, without replacing an existing file.

The file is on the disk (fsync) before its name, and its name before this returns. A staging file without a name is
hard-linked to its name, without a copy, where the system supports it. Where it does not, a copy is written beside the
target under a temporary name (``.part``), which stays locked as long as its process lives: so another landing of the
same file can tell which ones were left behind.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from airflow_provider_evolink.landing.staged_file import COPY_BYTES

_ATTRIBUTE = "user.evolink.generation_id"


def publish(staging_file: BinaryIO, path: Path, generation_id: str | None, *, replace: bool) -> None:
    """Give a complete file its final name.

    :param generation_id: stored as an extended attribute, where the file system supports that.
    :param replace: replace an existing file.
    :raises FileExistsError: there is an existing file; it was left alone.
    """
    make_directory(path.parent)
    staging_file.flush()
    os.fsync(staging_file.fileno())
    _tag(staging_file, generation_id)
    if replace or not _link(staging_file, path):
        remove_leftovers(path)
        with _temporary_name(staging_file, path, generation_id) as part:
            part.replace(path) if replace else _rename(part, path)
    sync_folder(path.parent)


def read_generation_id(path: Path) -> str | None:
    """Return the generation id stored with a file."""
    with suppress(OSError, AttributeError):
        return os.getxattr(path, _ATTRIBUTE).decode("ascii", "replace")
    return None


def make_directory(folder: Path) -> None:
    """Create a folder and its parents, so that they survive a power failure."""
    if folder.is_dir():
        return
    make_directory(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    sync_folder(folder.parent)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files that killed landings of the same file have left beside it."""
    for leftover in path.parent.glob(f"{part_prefix(path)}*.part"):
        with suppress(OSError), leftover.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _link(staging_file: BinaryIO, path: Path) -> bool:
    try:
        # The directory descriptor is unused, but makes Python follow the link in /proc.
        os.link(f"/proc/self/fd/{staging_file.fileno()}", path, src_dir_fd=staging_file.fileno())
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _rename(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here. The lock excludes other landings into the same folder from this machine.
        with _locked(path.parent):
            if os.path.lexists(path):
                raise FileExistsError(str(path)) from None
            part.rename(path)


@contextmanager
def _temporary_name(staging_file: BinaryIO, path: Path, generation_id: str | None) -> Iterator[Path]:
    """Give the file a temporary name beside its final one for the duration of the context."""
    _lock(staging_file)
    part = _part_path(path)
    try:
        if _link(staging_file, part):
            yield part
        else:
            with _open_part(part) as copy:
                _copy(staging_file, copy, generation_id)
                yield part
    finally:
        part.unlink(missing_ok=True)


def _open_part(part: Path) -> BinaryIO:
    while True:
        file = part.open("xb")
        _lock(file)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Before it was locked, another landing removed it as a leftover.
        file.close()


def _copy(staging_file: BinaryIO, copy: BinaryIO, generation_id: str | None) -> None:
    staging_file.seek(0)
    shutil.copyfileobj(staging_file, copy, COPY_BYTES)
    copy.flush()
    os.fsync(copy.fileno())
    _tag(copy, generation_id)


def _lock(file: BinaryIO) -> None:
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)


def _part_path(path: Path) -> Path:
    return path.parent / f"{part_prefix(path)}{secrets.token_hex(8)}.part"


def part_prefix(path: Path) -> str:
    """Return the start of temporary names for a path: short however long that is, and always the same for it."""
    return f".evolink-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}-"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _tag(file: BinaryIO, generation_id: str | None) -> None:
    if generation_id is None:
        return
    with suppress(OSError, AttributeError):
        os.setxattr(file.fileno(), _ATTRIBUTE, generation_id.encode())


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
