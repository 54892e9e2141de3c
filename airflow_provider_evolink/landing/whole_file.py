# SPDX-License-Identifier: Apache-2.0
"""A whole file that is to get its name, and what lies under that name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_evolink.landing.storage_errors import is_denied
from airflow_provider_evolink.landing.storage_target import StorageTarget

COPY_BYTES = 1024 * 1024
# Memory holds a few of these at a time; s3fs would take 50 MiB. S3 takes no smaller parts.
BLOCK_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WholeFile:
    """
    A whole file that is to get its name.

    :param spool: open for reading and writing.
    :param size: in bytes.
    :param content_type: told to the storage where it keeps such, so that a browser plays what lies there.
    :param generation_id: noted at the file where the storage keeps such.
    """

    spool: BinaryIO
    size: int
    content_type: str
    generation_id: str


def size_of(place: StorageTarget) -> int | None:
    """Return what the storage says; ``None`` if there is nothing, or if it may be written to but not looked at."""
    with suppress(Exception):
        place.fs.invalidate_cache(place.folder)
        return int(place.fs.info(place.path)["size"])
    return None


def refuse_if_taken(place: StorageTarget) -> None:
    """
    Look once more, on storage that may not do so itself.

    :raises FileExistsError: something has that name.
    """
    place.fs.invalidate_cache(place.folder)
    try:
        is_taken = place.fs.exists(place.path)
    except Exception as error:
        if not is_denied(error):
            raise
        # It may be written to, but not looked at.
        return
    if is_taken:
        raise FileExistsError(place.path)


def is_same(place: StorageTarget, size: int, sha256: str) -> bool:
    """
    Whether what lies there has this size and, read again, this hash.

    :raises Exception: whatever the storage raises if nothing is there, or if it can't be read.
    """
    place.fs.invalidate_cache(place.folder)
    return int(place.fs.info(place.path)["size"]) == size and hash_of(_chunks(place)) == sha256


def is_beginning(place: StorageTarget, stored: int, file: WholeFile) -> bool:
    """Whether what lies there, of this size, is the first part of a file."""
    return stored < file.size and hash_of(_chunks(place)) == hash_of(_beginning(file.spool, stored))


def hash_of(chunks: Iterator[bytes]) -> str:
    """Return the SHA-256 in hexadecimal."""
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


def _chunks(place: StorageTarget) -> Iterator[bytes]:
    with place.fs.open(place.path, "rb", block_size=BLOCK_BYTES) as stored:
        while chunk := stored.read(COPY_BYTES):
            yield chunk


def _beginning(spool: BinaryIO, size: int) -> Iterator[bytes]:
    spool.seek(0)
    while size > 0 and (chunk := spool.read(min(size, COPY_BYTES))):
        yield chunk
        size -= len(chunk)
