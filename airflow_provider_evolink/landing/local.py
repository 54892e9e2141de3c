# SPDX-License-Identifier: Apache-2.0
"""
Gives a whole file its name on a local file system, in one step, and only where nothing has that name.

The disk has the file before the name, and the name before this returns. A spool without a name is linked, without a
second copy where the system can do so. Where it can't, a copy is made beside it under a name of its own (``.part``),
which is locked as long as its process lives: so another landing of the same file can tell what was left behind.
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

from airflow_provider_evolink.landing.whole_file import COPY_BYTES

_MARK = "user.evolink.generation_id"


def name_file(spool: BinaryIO, path: Path, generation_id: str, *, replace: bool) -> None:
    """
    Give a whole file its final name.

    :param generation_id: noted at the file, where the file system keeps such.
    :param replace: put it in the place of what lies there.
    :raises FileExistsError: something lies there; it is left as it is.
    """
    make_folder(path.parent)
    spool.flush()
    os.fsync(spool.fileno())
    _mark(spool, generation_id)
    if replace or not _link(spool, path):
        sweep(path)
        with _part(spool, path, generation_id) as part:
            part.replace(path) if replace else _rename(part, path)
    _sync_folder(path.parent)


def generation_of(path: Path) -> str | None:
    """Return which generation has been noted at a file."""
    with suppress(OSError, AttributeError):
        return os.getxattr(path, _MARK).decode("ascii", "replace")
    return None


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that a power cut can't take them away again."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    _sync_folder(folder.parent)


def sweep(path: Path) -> None:
    """Remove what killed landings of the same file have left beside it."""
    for left in path.parent.glob(f"{part_prefix(path)}*.part"):
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _link(spool: BinaryIO, path: Path) -> bool:
    try:
        # The folder's descriptor is not used, but makes Python follow the link in /proc.
        os.link(f"/proc/self/fd/{spool.fileno()}", path, src_dir_fd=spool.fileno())
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
        # No links here. The lock keeps out those who land into the same folder from this machine.
        with _locked(path.parent):
            if os.path.lexists(path):
                raise FileExistsError(str(path)) from None
            part.rename(path)


@contextmanager
def _part(spool: BinaryIO, path: Path, generation_id: str) -> Iterator[Path]:
    """Give the file a name of its own beside its final one, for as long as the context lasts."""
    _lock(spool)
    part = _new_name(path)
    try:
        if _link(spool, part):
            yield part
        else:
            with _new_part(part) as copy:
                _copy(spool, copy, generation_id)
                yield part
    finally:
        part.unlink(missing_ok=True)


def _new_part(part: Path) -> BinaryIO:
    while True:
        file = part.open("xb")
        _lock(file)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Before it was locked, another landing took it for a dead one's.
        file.close()


def _copy(spool: BinaryIO, copy: BinaryIO, generation_id: str) -> None:
    spool.seek(0)
    shutil.copyfileobj(spool, copy, COPY_BYTES)
    copy.flush()
    os.fsync(copy.fileno())
    _mark(copy, generation_id)


def _lock(file: BinaryIO) -> None:
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)


def _new_name(path: Path) -> Path:
    return path.parent / f"{part_prefix(path)}{secrets.token_hex(8)}.part"


def part_prefix(path: Path) -> str:
    """Short whatever the final name's length, and the same for the same final name."""
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


def _mark(file: BinaryIO, generation_id: str) -> None:
    with suppress(OSError, AttributeError):
        os.setxattr(file.fileno(), _MARK, generation_id.encode())


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
