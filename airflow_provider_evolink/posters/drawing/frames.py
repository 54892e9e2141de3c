# SPDX-License-Identifier: Apache-2.0
"""Pick the frames that a poster shows, decoding as few others as possible."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

COUNT = 4
# An 8K frame has 33 million.
MAX_PIXELS = 40_000_000
# CPU seconds for finding frames, after which a poster makes do with those found.
BUDGET = 3.0
# Of a file that does not state its length.
_ASSUMED_SECONDS = 8.0
# Files that contain everything themselves; no playlists, and nothing that opens other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpeg,mpegts,ogg,wav,flac,aiff,caf,mp3,aac,loas,gif,"
    "png_pipe,jpeg_pipe,webp_pipe,tiff_pipe,bmp_pipe,jpegxl_pipe,jpegxl_anim"
)


class UnsuitableError(Exception):
    """There is no poster of this file; the text says why, without a stop at the end."""


def opened(file: BinaryIO) -> InputContainer:
    """Open a media file; nothing but this file is ever read.

    :raises av.FFmpegError: it is none, or broken.
    """
    return av.open(file, "r", options={"format_whitelist": _FORMATS, "protocol_whitelist": "none"})


def prepared(stream: VideoStream) -> VideoStream:
    """Limit what decoding a stream takes.

    :raises UnsuitableError: its frames are too large.
    """
    codec = stream.codec_context
    if codec.width * codec.height > MAX_PIXELS:
        raise UnsuitableError(f"its {codec.width} x {codec.height} pixels are too many")
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    codec.thread_count = 1
    return stream


def picture(container: InputContainer) -> VideoFrame:
    """Return an image, or the cover of an audio file.

    :raises UnsuitableError: it has none, or is put together from several.
    """
    if len(container.streams.video) > 1:
        raise UnsuitableError("it is put together from several pictures")
    stream = prepared(container.streams.video[0])
    frame = next(container.decode(stream), None)
    if not isinstance(frame, VideoFrame):
        raise UnsuitableError("it contains no picture")
    return frame


def scenes(container: InputContainer) -> list[VideoFrame]:
    """Return four frames of a video, evenly spaced, from its first eighth to its last; a very short one has fewer.

    Long videos have many key frames, which need no others. Generated ones of a few seconds have a single one, so all
    frames that others depend on are decoded from there.

    :raises UnsuitableError: no frame can be decoded.
    """
    stream = prepared(cast(VideoStream, container.streams.best("video")))
    times = _times(container, stream)
    found = _key_frames(container, stream, times)
    if len(found) < COUNT:
        found = _decoded_through(container, stream, times) or found
    if not found:
        raise UnsuitableError("no frame of it can be decoded")
    return found


def _times(container: InputContainer, stream: VideoStream) -> list[float]:
    """Return the seconds at which frames are picked."""
    if stream.duration and stream.time_base:
        length = float(stream.duration * stream.time_base)
    else:
        length = container.duration / av.time_base if container.duration else _ASSUMED_SECONDS
    start = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
    return [start + length * (2 * number + 1) / (2 * COUNT) for number in range(COUNT)]


def _key_frames(container: InputContainer, stream: VideoStream, times: list[float]) -> list[VideoFrame]:
    """Return the key frames at or before these times, as long as they differ."""
    stream.codec_context.skip_frame = "NONKEY"
    found: list[VideoFrame] = []
    for moment in times:
        _seek(container, stream, moment)
        frame = next(_frames(container, stream), None)
        if frame is None or (found and frame.pts == found[-1].pts):
            break
        found.append(frame)
    return found


def _decoded_through(container: InputContainer, stream: VideoStream, times: list[float]) -> list[VideoFrame]:
    """Return the frames at these times, by decoding from the start whatever is not a B-frame."""
    _seek(container, stream, 0.0)
    stream.codec_context.skip_frame = "BIDIR"
    found: list[VideoFrame] = []
    last: VideoFrame | None = None
    ends = time.process_time() + BUDGET
    for frame in _frames(container, stream):
        last = frame
        if frame.pts is None or frame.time >= times[len(found)]:
            found.append(frame)
        if len(found) == COUNT or time.process_time() > ends:
            return found
    # The last frames may be B-frames, or the file shorter than it states.
    return found if last is None or (found and found[-1] is last) else [*found, last]


def _seek(container: InputContainer, stream: VideoStream, moment: float) -> None:
    container.seek(int(moment / stream.time_base) if stream.time_base else 0, stream=stream)


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(stream)
    except av.FFmpegError:
        # A broken end does not spoil what comes before it.
        return
