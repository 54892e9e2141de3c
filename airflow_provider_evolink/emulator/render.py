# SPDX-License-Identifier: Apache-2.0
"""Makes the files that generations deliver: real pictures, films and recordings, by PyAV and nothing else.

Everything here is a function of its arguments: the same call gives the same bytes (with one version of PyAV).
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from airflow_provider_evolink.emulator import scenes
from airflow_provider_evolink.emulator.artifacts import Artifact

Stopped = Callable[[], bool]

_IMAGE_CODECS = {"png": ("png", "rgb24"), "jpg": ("mjpeg", "yuvj420p")}
_AUDIO_CODECS = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "wav": ("wav", "pcm_s16le", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
}
_REPEATABLE = {"fflags": "+bitexact"}
_FASTSTART = _REPEATABLE | {"movflags": "faststart"}


class RenderingStoppedError(Exception):
    """The emulator is shutting down; nobody waits for this file any more."""


def picture_size(picture: bytes) -> tuple[int, int] | None:
    """Measure a picture in pixels; None when it cannot be decoded.

    :param picture: encoded, in any format FFmpeg knows.
    """
    try:
        frame = scenes.decode(picture)
    except (av.FFmpegError, StopIteration, IndexError, ValueError):
        return None
    return frame.width, frame.height


def render(artifact: Artifact, stopped: Stopped = lambda: False) -> bytes:
    """Make a file.

    :param artifact: what it shows, its format, size and length.
    :param stopped: asked between frames; True ends the work.
    :return: the whole file.
    :raises RenderingStoppedError: when `stopped` says so.
    """
    make = {"video": _film, "image": _picture, "audio": _recording}[artifact.kind]
    return make(artifact, stopped)


def _picture(artifact: Artifact, _stopped: Stopped) -> bytes:
    codec_name, pixels = _IMAGE_CODECS[artifact.extension]
    codec = cast(VideoCodecContext, av.CodecContext.create(codec_name, "w"))
    codec.width, codec.height, codec.pix_fmt = artifact.width, artifact.height, pixels
    codec.time_base = Fraction(1, scenes.FRAMES_PER_SECOND)
    frame = scenes.still(_motif(artifact), artifact.width, artifact.height, pixels)
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def _film(artifact: Artifact, stopped: Stopped) -> bytes:
    def write(container: OutputContainer) -> None:
        video, audio = _video_stream(container, artifact), _audio_stream(container, "aac", 44_100)
        sound = scenes.chord(artifact.seconds, artifact.seed, 44_100)
        for frame in _shots(artifact):
            _stop_if(stopped)
            container.mux(video.encode(frame))
            _record(container, audio, sound, until=frame.time)
        container.mux(video.encode(None))
        _record(container, audio, sound)
        container.mux(audio.encode(None))

    return _file("mp4", _FASTSTART, write)


def _recording(artifact: Artifact, stopped: Stopped) -> bytes:
    container_format, codec, rate = _AUDIO_CODECS[artifact.extension]

    def write(container: OutputContainer) -> None:
        stream = _audio_stream(container, codec, rate)
        sound = scenes.chord(artifact.seconds, artifact.seed, rate)
        for second in itertools.count():
            _stop_if(stopped)
            if not _record(container, stream, sound, until=second):
                break
        container.mux(stream.encode(None))

    return _file(container_format, _FASTSTART if container_format == "ipod" else _REPEATABLE, write)


def _motif(artifact: Artifact) -> av.VideoFrame:
    if artifact.picture is not None:
        return scenes.decode(artifact.picture)
    return scenes.backdrop(artifact.width, artifact.height, artifact.seed)


def _shots(artifact: Artifact) -> Iterator[av.VideoFrame]:
    return scenes.camera_move(_motif(artifact), artifact.width, artifact.height, artifact.seconds, artifact.seed)


def _video_stream(container: OutputContainer, artifact: Artifact) -> VideoStream:
    options = {"preset": "veryfast", "crf": "24"}
    stream = container.add_stream("libx264", rate=scenes.FRAMES_PER_SECOND, options=options)
    stream.width, stream.height, stream.pix_fmt = artifact.width, artifact.height, "yuv420p"
    stream.codec_context.thread_count = 1  # the number of threads would change the bytes
    return stream


def _audio_stream(container: OutputContainer, codec: str, rate: int) -> AudioStream:
    return cast(AudioStream, container.add_stream(codec, rate=rate, layout="stereo"))


def _record(
    container: OutputContainer, stream: AudioStream, sound: Iterator[AudioFrame], until: float = math.inf
) -> bool:
    for frame in sound:
        container.mux(stream.encode(frame))
        if frame.time is not None and frame.time >= until:
            return True
    return False


def _file(container_format: str, options: dict[str, str], write: Callable[[OutputContainer], None]) -> bytes:
    # a real file, because "faststart" reads back what was written
    with tempfile.TemporaryDirectory(prefix="evolink-emulator-") as folder:
        path = Path(folder, "result")
        with av.open(str(path), "w", format=container_format, options=options) as container:
            write(container)
        return path.read_bytes()


def _stop_if(stopped: Stopped) -> None:
    if stopped():
        raise RenderingStoppedError
