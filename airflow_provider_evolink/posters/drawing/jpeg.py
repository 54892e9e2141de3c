# SPDX-License-Identifier: Apache-2.0
"""Make the JPEG of a poster from frames, or from lines of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
from av.video.frame import VideoFrame

# Pixels of the longer side, about.
SIDE = 480
# Bytes; the coarsest quality may take a few more.
TARGET_BYTES = 24_000

_GAP = 4
_PAPER = b"\xff\xff\xff"
# FFmpeg's scale of quality, from fine to coarse.
_QUALITIES = (4, 7, 11, 16, 24, 31)

Lines = Sequence[bytes]
"""An image: for each line its pixels, three bytes each (red, green, blue)."""


def thumbnail(frame: VideoFrame) -> Lines:
    """Return a frame, scaled down."""
    return _lines(frame, SIDE)


def contact_sheet(frames: Sequence[VideoFrame]) -> Lines:
    """Return four frames in two rows; the last is repeated if there are fewer.

    :param frames: of the same size; at least one.
    """
    tiles = [_lines(frame, SIDE // 2) for frame in [*frames, *[frames[-1]] * 4][:4]]
    gap = [_PAPER * (len(tiles[0][0]) * 2 // 3 + _GAP)] * _GAP
    return [*_beside(tiles[0], tiles[1]), *gap, *_beside(tiles[2], tiles[3])]


def encode(lines: Lines) -> bytes:
    """Encode an image as a JPEG of about ``TARGET_BYTES`` at most."""
    frame = _frame(lines).reformat(format="yuvj420p")
    jpeg = b""
    for quality in _QUALITIES:
        jpeg = _encode(frame, quality)
        if len(jpeg) <= TARGET_BYTES:
            break
    return jpeg


def _beside(left: Lines, right: Lines) -> Lines:
    return [a + _PAPER * _GAP + b for a, b in zip(left, right, strict=True)]


def _lines(frame: VideoFrame, side: int) -> Lines:
    scale = min(side / max(frame.width, frame.height), 1.0)
    width, height = (max(round(length * scale / 2) * 2, 2) for length in (frame.width, frame.height))
    plane = frame.reformat(width, height, "rgb24", interpolation="AREA").planes[0]
    pixels, size = bytes(plane), plane.line_size
    return [pixels[start : start + 3 * width] for start in range(0, height * size, size)]


def _frame(lines: Lines) -> VideoFrame:
    frame = VideoFrame(len(lines[0]) // 3, len(lines), "rgb24")
    plane = frame.planes[0]
    plane.update(b"".join(line.ljust(plane.line_size, b"\0") for line in lines))
    return frame


def _encode(frame: VideoFrame, quality: int) -> bytes:
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuvj420p"
    codec.time_base, codec.thread_count = Fraction(1, 25), 1
    codec.options = {"qmin": str(quality), "qmax": str(quality)}
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])
