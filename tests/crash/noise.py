# SPDX-License-Identifier: Apache-2.0
"""An image of noise, which no codec can compress: its video is large enough for a multipart upload."""

from __future__ import annotations

import random
import struct
import zlib

# Wide: the emulator keeps the short side of its videos small.
_WIDTH, _HEIGHT = 2048, 360
_DEPTH_AND_GREY = bytes([8, 0, 0, 0, 0])


def noise() -> bytes:
    """Return a PNG, always the same."""
    rng = random.Random(0)
    rows = b"".join(b"\0" + rng.randbytes(_WIDTH) for _ in range(_HEIGHT))
    header = struct.pack(">II", _WIDTH, _HEIGHT) + _DEPTH_AND_GREY
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
