# SPDX-License-Identifier: Apache-2.0
"""Read the content of media files, in bounded memory."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO, Protocol

_CHUNK_BYTES = 1024 * 1024


class MediaFile(Protocol):
    """A file with media, wherever it is.

    Every method may raise OSError, ValueError or ImportError if it can't be read, and ConnectionError or TimeoutError
    if a retry may help.
    """

    @property
    def source(self) -> str:
        """Where it is, for texts: without credentials."""

    def version(self) -> str:
        """Return a text that changes when the file does, without reading it."""

    def open(self) -> BinaryIO:
        """Open it for reading at any position."""


def sha256_of(file: BinaryIO) -> str:
    """Return the SHA-256 of a file in hex, read from its beginning piece by piece."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def size_of(file: BinaryIO) -> int:
    """Return the size of a file in bytes."""
    return file.seek(0, io.SEEK_END)
