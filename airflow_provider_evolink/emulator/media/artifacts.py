# SPDX-License-Identifier: Apache-2.0
"""Plan which files a generation delivers. Pure: nothing is rendered here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.emulator.media import formats

AUTO_SECONDS = 5
MAX_SECONDS = 600  # an undocumented model accepts any duration
DEFAULT_RATIO = {"video": (16, 9), "image": (1, 1)}
SHORT_SIDE = {"video": 360, "image": 512}
MAX_SIDE = 2048
VARIANTS = 4  # thousands of prompts about one image then need at most four videos
SAMPLE_RATES = frozenset({8000, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000})
OPUS_RATES = frozenset({8000, 12_000, 16_000, 24_000, 48_000})


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
    :param has_sound: whether a video has a sound track.
    :param has_alpha: whether an image has an alpha channel.
    :param sample_rate: samples per second of an audio file; None for the usual rate of its format.
    """

    kind: str
    extension: str
    width: int
    height: int
    seconds: float
    source_image: bytes | None
    seed: int
    has_sound: bool = True
    has_alpha: bool = False
    sample_rate: int | None = None

    @property
    def content_type(self) -> str:
        """Value of its ``Content-Type`` header."""
        return formats.CONTENT_TYPES[self.extension]


@dataclass(frozen=True)
class SourceImage:
    """An image that came with a request.

    :param data: the encoded image.
    :param size: width and height in pixels.
    """

    data: bytes
    size: tuple[int, int]


def plan_artifacts(
    model: str, kind: str, parameters: Mapping[str, Any], image: SourceImage | None
) -> tuple[Artifact, ...]:
    """List the files that a generation will deliver.

    :param model: id of the model.
    :param kind: video, image or audio.
    :param parameters: parameters of the request, with the documented defaults filled in.
    :param image: the first image of the request, if any.
    """
    seed = zlib.crc32(str(parameters.get("prompt", "")).encode()) % VARIANTS
    extensions = formats.file_extensions(model, kind, parameters)
    return tuple(
        _artifact(model, extension, parameters, image, seed + index) for index, extension in enumerate(extensions)
    )


def _artifact(
    model: str, extension: str, parameters: Mapping[str, Any], image: SourceImage | None, seed: int
) -> Artifact:
    kind = formats.kind_of(extension)
    width, height = (0, 0) if kind == "audio" else _size(kind, parameters, image)
    return Artifact(
        kind=kind,
        extension=extension,
        width=width,
        height=height,
        seconds=0.0 if kind == "image" else _seconds(parameters),
        source_image=image.data if image and kind != "audio" else None,
        seed=seed,
        has_sound=_has_sound(parameters),
        has_alpha=formats.is_layered(model) and extension == "png",
        sample_rate=_sample_rate(extension, parameters) if kind == "audio" else None,
    )


def _has_sound(parameters: Mapping[str, Any]) -> bool:
    return parameters.get("generate_audio") is not False and parameters.get("sound") != "off"


def _sample_rate(extension: str, parameters: Mapping[str, Any]) -> int | None:
    requested = parameters.get("sample_rate")
    allowed = OPUS_RATES if extension == "ogg" else SAMPLE_RATES
    return requested if isinstance(requested, int) and requested in allowed else None


def _seconds(parameters: Mapping[str, Any]) -> float:
    duration = parameters.get("duration")
    if isinstance(duration, int | float) and not isinstance(duration, bool) and duration > 0:
        return min(float(duration), MAX_SECONDS)
    return float(AUTO_SECONDS)


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
