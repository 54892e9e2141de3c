# SPDX-License-Identifier: Apache-2.0
"""Publish a complete file on storage that shows partial files and has no conditional writes: write, check, then move.

It is written under a temporary name beside the target, checked, and moved if no file has the final name. An SFTP server
makes sure of that itself when it renames the file.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_provider_evolink.landing import sftp
from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.staged_file import (
    BLOCK_BYTES,
    COPY_BYTES,
    StagedFile,
    refuse_if_exists,
    stored_size,
)
from airflow_provider_evolink.landing.storage_target import StorageTarget

# Writing one file never takes that long.
_STALE_AFTER = timedelta(days=1)


def write_and_move(file: StagedFile, target: StorageTarget, *, replace: bool) -> None:
    """Give a complete file its final name.

    :param replace: replace an existing file.
    :raises FileExistsError: there is an existing file; it was left alone.
    """
    target.fs.makedirs(target.folder, exist_ok=True)
    prefix = f"{target.folder}/{part_prefix(Path(target.path))}"
    _remove_stale(target, prefix, now=datetime.now(UTC))
    part = StorageTarget(target.fs, f"{prefix}{secrets.token_hex(8)}.part", target.protocol)
    try:
        file.stream.seek(0)
        with target.fs.open(part.path, "wb", block_size=_block_size(target)) as stored:
            shutil.copyfileobj(file.stream, stored, COPY_BYTES)
        _check_size(part, file.size)
        if not replace:
            refuse_if_exists(target)
        _move(part, target, replace=replace)
    except BaseException:
        with suppress(Exception):
            target.fs.rm_file(part.path)
        raise


def _block_size(target: StorageTarget) -> int | None:
    # OpenSSH ends the connection at a request of more than 256 KiB; by itself the file system stays below that.
    return None if target.protocol in sftp.PROTOCOLS else BLOCK_BYTES


def _check_size(part: StorageTarget, size: int) -> None:
    stored = stored_size(part)
    if stored not in {None, size}:
        raise OSError(f"the storage has {stored} bytes after {size} were written")


def _move(part: StorageTarget, target: StorageTarget, *, replace: bool) -> None:
    rename = sftp.rename if target.protocol in sftp.PROTOCOLS else _rename
    try:
        rename(part, target, replace=replace)
    except Exception:
        if not replace or not target.fs.exists(part.path):
            raise
        # Some storage refuses to move to an existing name.
        target.fs.rm_file(target.path)
        rename(part, target, replace=False)


def _rename(file: StorageTarget, target: StorageTarget, *, replace: bool) -> None:  # noqa: ARG001 - not asked for it
    target.fs.mv(file.path, target.path)


def _remove_stale(target: StorageTarget, prefix: str, *, now: datetime) -> None:
    """Remove temporary files of killed landings of the same file, once they are too old to be in use."""
    with suppress(Exception):
        for name in target.fs.ls(target.folder, detail=False):
            if f"/{name.lstrip('/')}".startswith(f"/{prefix.lstrip('/')}"):
                changed = target.fs.modified(name)
                if now - changed.astimezone(UTC) > _STALE_AFTER:
                    target.fs.rm_file(name)
