# SPDX-License-Identifier: Apache-2.0
"""Media files to draw posters of, good and hostile, and what their posters show."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import av

from airflow_provider_evolink.emulator.media.artifacts import Artifact
from airflow_provider_evolink.emulator.media.rendering import render

# Red, green, blue and white, as the quarters of a video.
COLORS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (230, 230, 230))


@cache
def video(
    container: str = "mp4",
    codec: str = "libx264",
    *,
    seconds: int = 4,
    gop: int = 250,
    size: tuple[int, int] = (320, 180),
) -> bytes:
    """Encode a video whose quarters have the four colors.

    :param gop: frames from one key frame to the next, at most.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, width=size[0], height=size[1], pix_fmt="yuv420p")
        stream.codec_context.gop_size = gop
        for number in range(25 * seconds):
            frame = _plain(COLORS[4 * number // (25 * seconds)], size)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@cache
def image(extension: str, width: int = 1024, height: int = 768) -> bytes:
    """Encode an image."""
    return render(Artifact("image", extension, width, height, 0, None, 1))


@cache
def sound(extension: str) -> bytes:
    """Encode five seconds of a chord."""
    return render(Artifact("audio", extension, 0, 0, 5, None, 1))


@cache
def song_with_cover() -> bytes:
    """Encode an MP3 with a red cover."""
    file = io.BytesIO()
    with av.open(io.BytesIO(sound("mp3"))) as song, av.open(file, "w", format="mp3") as output:
        track, cover = output.add_stream("libmp3lame", rate=44_100), output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        for frame in song.decode(audio=0):
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
        output.mux(cover.encode(_plain(COLORS[0], (64, 64)).reformat(format="yuvj420p")))
        output.mux(cover.encode(None))
    return file.getvalue()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG whose header states this size, whatever it contains."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def tiles(sheet: bytes) -> list[tuple[int, int, int]]:
    """Return the color at the center of each tile of a contact sheet."""
    frame = decoded(sheet)
    middles = [
        (x, y) for y in (frame.height // 4, 3 * frame.height // 4) for x in (frame.width // 4, 3 * frame.width // 4)
    ]
    return [color_at(frame, x, y) for x, y in middles]


def decoded(jpeg: bytes) -> av.VideoFrame:
    """Decode a poster."""
    with av.open(io.BytesIO(jpeg), format="jpeg_pipe") as container:
        return next(container.decode(video=0)).reformat(format="rgb24")


def color_at(frame: av.VideoFrame, x: int, y: int) -> tuple[int, int, int]:
    """Return the color of a pixel."""
    plane = frame.planes[0]
    start = y * plane.line_size + 3 * x
    red, green, blue = bytes(plane)[start : start + 3]
    return red, green, blue


def is_close(color: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Return whether two colors are the same but for compression."""
    return all(abs(a - b) < 40 for a, b in zip(color, other, strict=True))


def _plain(color: tuple[int, int, int], size: tuple[int, int]) -> av.VideoFrame:
    frame = av.VideoFrame(*size, "rgb24")
    line = (bytes(color) * size[0]).ljust(frame.planes[0].line_size, b"\0")
    frame.planes[0].update(line * size[1])
    return frame.reformat(format="yuv420p")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
