# SPDX-License-Identifier: Apache-2.0
"""Works out from a request which files its generation delivers. Pure; nothing is rendered here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTO_SECONDS = 5
LONGEST_SECONDS = 600  # an undocumented model may be asked for anything
DEFAULT_RATIO = {"video": (16, 9), "image": (1, 1)}
SHORT_SIDE = {"video": 360, "image": 512}
LONGEST_SIDE = 2048
MOST_RESULTS = 10
VARIANTS = 4  # so that thousands of prompts about one picture need no more than four films

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
    :param extension: of the file name; picks the format.
    :param width: pixels; 0 for audio.
    :param height: pixels; 0 for audio.
    :param seconds: length; 0 for images.
    :param picture: the encoded picture it is made from, if one was sent.
    :param seed: picks whatever the request leaves open: where the camera goes, the chord, a backdrop.
    """

    kind: str
    extension: str
    width: int
    height: int
    seconds: float
    picture: bytes | None
    seed: int

    @property
    def content_type(self) -> str:
        """The media type it is served with."""
        return CONTENT_TYPES[self.extension]


@dataclass(frozen=True)
class Picture:
    """A picture that came with a request.

    :param data: the encoded picture.
    :param size: width and height in pixels.
    """

    data: bytes
    size: tuple[int, int]


def plan(kind: str, parameters: Mapping[str, Any], picture: Picture | None) -> tuple[Artifact, ...]:
    """List the files a generation will deliver.

    :param kind: video, image or audio.
    :param parameters: the request, with the documented defaults filled in.
    :param picture: the first picture that came along, if any.
    """
    seed = zlib.crc32(str(parameters.get("prompt", "")).encode()) % VARIANTS
    width, height = (0, 0) if kind == "audio" else _size(kind, parameters, picture)
    seconds = 0.0 if kind == "image" else _seconds(parameters)
    data = picture.data if picture and kind != "audio" else None
    extension = _extension(kind, parameters)
    return tuple(
        Artifact(kind, extension, width, height, seconds, data, seed + index)
        for index in range(_count(kind, parameters))
    )


def _seconds(parameters: Mapping[str, Any]) -> float:
    duration = parameters.get("duration")
    if isinstance(duration, int | float) and not isinstance(duration, bool) and duration > 0:
        return min(float(duration), LONGEST_SECONDS)
    return float(AUTO_SECONDS)


def _count(kind: str, parameters: Mapping[str, Any]) -> int:
    number = parameters.get("n")
    return min(number, MOST_RESULTS) if kind != "audio" and isinstance(number, int) and number > 0 else 1


def _extension(kind: str, parameters: Mapping[str, Any]) -> str:
    if kind == "video":
        return "mp4"
    if kind == "image":
        return _IMAGE_EXTENSIONS.get(str(parameters.get("output_format")), "png")
    asked = parameters.get("format") or parameters.get("response_format")
    return _AUDIO_EXTENSIONS.get(str(asked), "mp3")


def _size(kind: str, parameters: Mapping[str, Any], picture: Picture | None) -> tuple[int, int]:
    wanted = str(parameters.get("aspect_ratio" if kind == "video" else "size", ""))
    if kind == "image" and (exact := re.fullmatch(r"(\d{2,4})x(\d{2,4})", wanted)):
        return _even(min(int(exact[1]), LONGEST_SIDE)), _even(min(int(exact[2]), LONGEST_SIDE))
    across, down = _ratio(wanted) or (picture.size if picture else DEFAULT_RATIO[kind])
    scale = SHORT_SIDE[kind] / min(across, down)
    return _even(min(across * scale, LONGEST_SIDE)), _even(min(down * scale, LONGEST_SIDE))


def _ratio(text: str) -> tuple[float, float] | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)[:x](\d+(?:\.\d+)?)", text)
    across, down = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    return (across, down) if across and down else None


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)
