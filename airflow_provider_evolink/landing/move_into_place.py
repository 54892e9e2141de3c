# SPDX-License-Identifier: Apache-2.0
"""
Gives a whole file its name on storage that shows half files and can't be told to write only where nothing is.

It is written beside its final name, looked at, and moved once nothing has that name.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.landing.whole_file import BLOCK_BYTES, COPY_BYTES, WholeFile, refuse_if_taken, size_of

# No file takes as long to be written.
_STALE_AFTER = timedelta(days=1)


def write_and_move(file: WholeFile, place: StorageTarget, *, replace: bool) -> None:
    """
    Give a whole file its final name.

    :param replace: put it in the place of what lies there.
    :raises FileExistsError: something lies there, and was left as it is.
    """
    place.fs.makedirs(place.folder, exist_ok=True)
    beside = f"{place.folder}/{part_prefix(Path(place.path))}"
    _sweep(place, beside, now=datetime.now(UTC))
    part = StorageTarget(place.fs, f"{beside}{secrets.token_hex(8)}.part", place.protocol)
    try:
        file.spool.seek(0)
        with place.fs.open(part.path, "wb", block_size=BLOCK_BYTES) as target:
            shutil.copyfileobj(file.spool, target, COPY_BYTES)
        _check_whole(part, file.size)
        if not replace:
            refuse_if_taken(place)
        _move(part, place, replace=replace)
    except BaseException:
        with suppress(Exception):
            place.fs.rm_file(part.path)
        raise


def _check_whole(part: StorageTarget, size: int) -> None:
    stored = size_of(part)
    if stored not in {None, size}:
        raise OSError(f"it has {stored} bytes after {size} were written")


def _move(part: StorageTarget, place: StorageTarget, *, replace: bool) -> None:
    try:
        place.fs.mv(part.path, place.path)
    except Exception:
        if not replace or not place.fs.exists(part.path):
            raise
        # Some storages move nothing to where something is.
        place.fs.rm_file(place.path)
        place.fs.mv(part.path, place.path)


def _sweep(place: StorageTarget, beside: str, *, now: datetime) -> None:
    """Remove what killed landings of the same file have left, once it is too old to belong to one that runs."""
    with suppress(Exception):
        for name in place.fs.ls(place.folder, detail=False):
            if f"/{name.lstrip('/')}".startswith(f"/{beside.lstrip('/')}"):
                changed = place.fs.modified(name)
                if now - changed.astimezone(UTC) > _STALE_AFTER:
                    place.fs.rm_file(name)
