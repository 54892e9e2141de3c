# SPDX-License-Identifier: Apache-2.0
"""Read the size of the picture and the duration from an mp4, mov or m4a file, whose index may be at its end. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

# The index of an hour of video takes about 2 MB.
_MAX_INDEX_BYTES = 32 * 1024 * 1024
_HEADER, _LONG_HEADER = 8, 16
_MAX_BOXES = 10_000


def picture_and_duration(file: BinaryIO) -> tuple[int | None, int | None, float | None]:
    """Return the width and height in pixels and the duration in seconds; None for what the file does not state.

    Seeks to the index (``moov``) and reads nothing else.

    :raises OSError, ValueError, struct.error: the file can't be read, or is damaged.
    """
    index = _index(file)
    if index is None:
        return None, None, None
    boxes = list(_boxes(index))
    width, height = max((_picture(box) for name, box in boxes if name == b"trak"), default=(0, 0))
    return width or None, height or None, _duration(boxes)


def _index(file: BinaryIO) -> bytes | None:
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        header = file.read(_LONG_HEADER)
        if len(header) < _HEADER:
            return None
        size, start = int.from_bytes(header[:4]), _HEADER
        if size == 1:
            size, start = int.from_bytes(header[8:16]), _LONG_HEADER
        if header[4:8] == b"moov":
            file.seek(position + start)
            return file.read(min(size - start, _MAX_INDEX_BYTES) if size else _MAX_INDEX_BYTES)
        if size < start:  # 0: up to the end of the file
            return None
        position += size
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + _HEADER <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        if size < _HEADER:
            return
        yield name, data[position + _HEADER : position + size]
        position += size


def _picture(track: bytes) -> tuple[int, int]:
    """Return the size of a track's picture, as it is shown: the matrix may turn it."""
    for name, box in _boxes(track):
        if name == b"tkhd":
            matrix = 52 if box[0] else 40
            a, b = struct.unpack_from(">ii", box, matrix)
            width, height = (number >> 16 for number in struct.unpack_from(">II", box, matrix + 36))
            return (height, width) if b and not a else (width, height)
    return 0, 0


def _duration(boxes: list[tuple[bytes, bytes]]) -> float | None:
    header = next((box for name, box in boxes if name == b"mvhd"), b"")
    if not header:
        return None
    scale, duration = struct.unpack_from(">IQ" if header[0] else ">II", header, 20 if header[0] else 12)
    # A fragmented file states it elsewhere.
    fragments = next((box for name, box in boxes if name == b"mvex"), b"")
    for name, box in _boxes(fragments):
        if name == b"mehd" and not duration:
            [duration] = struct.unpack_from(">Q" if box[0] else ">I", box, 4)
    return duration / scale if scale and duration else None
