# SPDX-License-Identifier: Apache-2.0
"""Write a PNG, without a library for images."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = 2


def write_png(path: Path, rows: Sequence[bytes]) -> None:
    """Write an image.

    :param path: of the file; it is replaced.
    :param rows: from top to bottom, each with three bytes (red, green, blue) for every pixel.
    """
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, _RGB, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    path.write_bytes(_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
