# SPDX-License-Identifier: Apache-2.0
"""Render the files that generations deliver: real images, videos and audio, with PyAV alone.

Rendering is deterministic: the same artifact gives the same bytes with the same version of PyAV.
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

from airflow_provider_evolink.emulator.media import frames
from airflow_provider_evolink.emulator.media.artifacts import Artifact

IsCancelled = Callable[[], bool]

_IMAGE_CODECS = {"png": ("png", "rgb24"), "jpg": ("mjpeg", "yuvj420p"), "webp": ("libwebp", "yuv420p")}
_AUDIO_CODECS = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "wav": ("wav", "pcm_s16le", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "pcm": ("s16le", "pcm_s16le", 24_000),
}
_SOUND_RATE = 44_100
_BIT_EXACT = {"fflags": "+bitexact"}
_FASTSTART = _BIT_EXACT | {"movflags": "faststart"}


class RenderCancelledError(Exception):
    """The emulator is shutting down, so the file was not rendered."""


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of an image in pixels; None if it cannot be decoded.

    :param data: the encoded image, in any format FFmpeg supports.
    """
    try:
        frame = frames.decode_image(data)
    except (av.FFmpegError, StopIteration, IndexError, ValueError):
        return None
    return frame.width, frame.height


def render(artifact: Artifact, is_cancelled: IsCancelled = lambda: False) -> bytes:
    """Render a file.

    :param artifact: its content, format, size and length.
    :param is_cancelled: called between frames; True ends the work.
    :return: the whole file.
    :raises RenderCancelledError: ``is_cancelled`` returned True.
    """
    render_kind = {"video": _video, "image": _image, "audio": _audio}[artifact.kind]
    return render_kind(artifact, is_cancelled)


def _image(artifact: Artifact, _is_cancelled: IsCancelled) -> bytes:
    codec_name, pixel_format = _IMAGE_CODECS[artifact.extension]
    if artifact.has_alpha:
        pixel_format = "rgba"
    codec = cast(VideoCodecContext, av.CodecContext.create(codec_name, "w"))
    codec.width, codec.height, codec.pix_fmt = artifact.width, artifact.height, pixel_format
    codec.time_base = Fraction(1, frames.FRAMES_PER_SECOND)
    frame = frames.crop_to(_first_frame(artifact), artifact.width, artifact.height, pixel_format)
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def _video(artifact: Artifact, is_cancelled: IsCancelled) -> bytes:
    def write(container: OutputContainer) -> None:
        video = _video_stream(container, artifact)
        audio = _audio_stream(container, "aac", _SOUND_RATE) if artifact.has_sound else None
        sound = frames.chord(artifact.seconds, artifact.seed, _SOUND_RATE)
        for frame in _video_frames(artifact):
            _raise_if_cancelled(is_cancelled)
            container.mux(video.encode(frame))
            if audio is not None:
                _mux_audio(container, audio, sound, until=frame.time)
        container.mux(video.encode(None))
        if audio is not None:
            _mux_audio(container, audio, sound)
            container.mux(audio.encode(None))

    return _write_container(artifact.extension, _FASTSTART, write)


def _audio(artifact: Artifact, is_cancelled: IsCancelled) -> bytes:
    container_format, codec, usual_rate = _AUDIO_CODECS[artifact.extension]
    rate = artifact.sample_rate or usual_rate

    def write(container: OutputContainer) -> None:
        stream = _audio_stream(container, codec, rate, "mono" if artifact.extension == "pcm" else "stereo")
        sound = frames.chord(artifact.seconds, artifact.seed, rate)
        for second in itertools.count():
            _raise_if_cancelled(is_cancelled)
            if not _mux_audio(container, stream, sound, until=second):
                break
        container.mux(stream.encode(None))

    return _write_container(container_format, _FASTSTART if container_format == "ipod" else _BIT_EXACT, write)


def _first_frame(artifact: Artifact) -> av.VideoFrame:
    if artifact.source_image is not None:
        return frames.decode_image(artifact.source_image)
    return frames.gradient(artifact.width, artifact.height, artifact.seed)


def _video_frames(artifact: Artifact) -> Iterator[av.VideoFrame]:
    first = _first_frame(artifact)
    return frames.camera_move(first, artifact.width, artifact.height, artifact.seconds, artifact.seed)


def _video_stream(container: OutputContainer, artifact: Artifact) -> VideoStream:
    options = {"preset": "veryfast", "crf": "24"}
    stream = container.add_stream("libx264", rate=frames.FRAMES_PER_SECOND, options=options)
    stream.width, stream.height, stream.pix_fmt = artifact.width, artifact.height, "yuv420p"
    stream.codec_context.thread_count = 1  # the number of threads would change the bytes
    return stream


def _audio_stream(container: OutputContainer, codec: str, rate: int, layout: str = "stereo") -> AudioStream:
    return cast(AudioStream, container.add_stream(codec, rate=rate, layout=layout))


def _mux_audio(
    container: OutputContainer, stream: AudioStream, sound: Iterator[AudioFrame], until: float = math.inf
) -> bool:
    for frame in sound:
        container.mux(stream.encode(frame))
        if frame.time is not None and frame.time >= until:
            return True
    return False


def _write_container(container_format: str, options: dict[str, str], write: Callable[[OutputContainer], None]) -> bytes:
    # A file on disk, since "faststart" reads back what it has written.
    with tempfile.TemporaryDirectory(prefix="evolink-emulator-") as folder:
        path = Path(folder, "result")
        with av.open(str(path), "w", format=container_format, options=options) as container:
            write(container)
        return path.read_bytes()


def _raise_if_cancelled(is_cancelled: IsCancelled) -> None:
    if is_cancelled():
        raise RenderCancelledError
