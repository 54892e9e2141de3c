# SPDX-License-Identifier: Apache-2.0
"""A complete file that waits to be published, and how it compares to the file under its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_evolink.landing.storage_errors import is_denied
from airflow_provider_evolink.landing.storage_target import StorageTarget

COPY_BYTES = 1024 * 1024
# A few of these are in memory at a time; s3fs would take 50 MiB. It is also the smallest part that S3 accepts.
BLOCK_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A complete file that waits to be published.

    :param stream: open for reading and writing.
    :param size: in bytes.
    :param content_type: stored with the file where the storage can, so that a browser plays it.
    :param generation_id: stored with the file where the storage can; ``None`` for a file that is no result.
    """

    stream: BinaryIO
    size: int
    content_type: str
    generation_id: str | None


def stored_size(target: StorageTarget) -> int | None:
    """Return the size the storage reports; ``None`` if there is no file, or if the storage may only be written to."""
    with suppress(Exception):
        target.fs.invalidate_cache(target.folder)
        return int(target.fs.info(target.path)["size"])
    return None


def refuse_if_exists(target: StorageTarget) -> None:
    """Check for an existing file, on storage that may not check for itself.

    :raises FileExistsError: there is one.
    """
    target.fs.invalidate_cache(target.folder)
    try:
        exists = target.fs.exists(target.path)
    except Exception as error:
        if not is_denied(error):
            raise
        # The storage may only be written to, not read.
        return
    if exists:
        raise FileExistsError(target.path)


def matches(target: StorageTarget, size: int, sha256: str) -> bool:
    """Return whether the stored file has this size and, read back, this hash.

    :raises Exception: whatever the storage raises if there is no file, or if it can't be read.
    """
    target.fs.invalidate_cache(target.folder)
    return int(target.fs.info(target.path)["size"]) == size and sha256_of(_stored_chunks(target)) == sha256


def is_prefix(target: StorageTarget, size: int, file: StagedFile) -> bool:
    """Return whether the stored file, of this size, is the first part of a staged file."""
    return size < file.size and sha256_of(_stored_chunks(target)) == sha256_of(_first_bytes(file.stream, size))


def sha256_of(chunks: Iterator[bytes]) -> str:
    """Return the SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _stored_chunks(target: StorageTarget) -> Iterator[bytes]:
    with target.fs.open(target.path, "rb", block_size=BLOCK_BYTES) as stored:
        while chunk := stored.read(COPY_BYTES):
            yield chunk


def _first_bytes(stream: BinaryIO, size: int) -> Iterator[bytes]:
    stream.seek(0)
    while size > 0 and (chunk := stream.read(min(size, COPY_BYTES))):
        yield chunk
        size -= len(chunk)
