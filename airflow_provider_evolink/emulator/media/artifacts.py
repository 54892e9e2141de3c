# SPDX-License-Identifier: Apache-2.0
"""Plan which files a generation delivers. Pure: nothing is rendered here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTO_SECONDS = 5
MAX_SECONDS = 600  # an undocumented model accepts any duration
DEFAULT_RATIO = {"video": (16, 9), "image": (1, 1)}
SHORT_SIDE = {"video": 360, "image": 512}
MAX_SIDE = 2048
MAX_RESULTS = 10
VARIANTS = 4  # thousands of prompts about one image then need at most four videos

CONTENT_TYPES = {
    "mp4": "video/mp4",
    "png": "image/png",
    "jpg": "image/jpeg",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
}
_IMAGE_EXTENSIONS = {"jpeg": "jpg"}
_AUDIO_EXTENSIONS = {"wav": "wav", "mp3": "mp3", "ogg_opus": "ogg", "opus": "ogg", "pcm": "wav", "m4a": "m4a"}


@dataclass(frozen=True)
class Artifact:
    """One file to deliver.

    :param kind: video, image or audio.
    :param extension: file name extension; determines the format.
    :param width: pixels; 0 for audio.
    :param height: pixels; 0 for audio.
    :param seconds: length; 0 for images.
    :param source_image: the encoded image that it is made from; None if the request had none.
    :param seed: determines what the request leaves open: camera move, chord, background.
    """

    kind: str
    extension: str
    width: int
    height: int
    seconds: float
    source_image: bytes | None
    seed: int

    @property
    def content_type(self) -> str:
        """Value of its ``Content-Type`` header."""
        return CONTENT_TYPES[self.extension]


@dataclass(frozen=True)
class SourceImage:
    """An image that came with a request.

    :param data: the encoded image.
    :param size: width and height in pixels.
    """

    data: bytes
    size: tuple[int, int]


def plan_artifacts(kind: str, parameters: Mapping[str, Any], image: SourceImage | None) -> tuple[Artifact, ...]:
    """List the files that a generation will deliver.

    :param kind: video, image or audio.
    :param parameters: parameters of the request, with the documented defaults filled in.
    :param image: the first image of the request, if any.
    """
    seed = zlib.crc32(str(parameters.get("prompt", "")).encode()) % VARIANTS
    width, height = (0, 0) if kind == "audio" else _size(kind, parameters, image)
    seconds = 0.0 if kind == "image" else _seconds(parameters)
    data = image.data if image and kind != "audio" else None
    extension = _extension(kind, parameters)
    return tuple(
        Artifact(kind, extension, width, height, seconds, data, seed + index)
        for index in range(_count(kind, parameters))
    )


def _seconds(parameters: Mapping[str, Any]) -> float:
    duration = parameters.get("duration")
    if isinstance(duration, int | float) and not isinstance(duration, bool) and duration > 0:
        return min(float(duration), MAX_SECONDS)
    return float(AUTO_SECONDS)


def _count(kind: str, parameters: Mapping[str, Any]) -> int:
    number = parameters.get("n")
    return min(number, MAX_RESULTS) if kind != "audio" and isinstance(number, int) and number > 0 else 1


def _extension(kind: str, parameters: Mapping[str, Any]) -> str:
    if kind == "video":
        return "mp4"
    if kind == "image":
        return _IMAGE_EXTENSIONS.get(str(parameters.get("output_format")), "png")
    audio_format = parameters.get("format") or parameters.get("response_format")
    return _AUDIO_EXTENSIONS.get(str(audio_format), "mp3")


def _size(kind: str, parameters: Mapping[str, Any], image: SourceImage | None) -> tuple[int, int]:
    requested = str(parameters.get("aspect_ratio" if kind == "video" else "size", ""))
    if kind == "image" and (exact := re.fullmatch(r"(\d{2,4})x(\d{2,4})", requested)):
        return _even(min(int(exact[1]), MAX_SIDE)), _even(min(int(exact[2]), MAX_SIDE))
    across, down = _ratio(requested) or (image.size if image else DEFAULT_RATIO[kind])
    scale = SHORT_SIDE[kind] / min(across, down)
    return _even(min(across * scale, MAX_SIDE)), _even(min(down * scale, MAX_SIDE))


def _ratio(text: str) -> tuple[float, float] | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)[:x](\d+(?:\.\d+)?)", text)
    across, down = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    return (across, down) if across and down else None


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)
