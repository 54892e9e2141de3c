# SPDX-License-Identifier: Apache-2.0
"""How many files each model delivers, and in which formats. Pure.

As documented on the models' pages, except for the number of Suno's songs and of the layers of a picture, for which
EvoLink documents "several" and "up to 17".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from airflow_provider_evolink.api import catalog

MAX_RESULTS = 10
SONGS = 2
MIDJOURNEY_GRID, MIDJOURNEY_DRAFTS = 4, 24
MAX_LAYERED_FILES = 17

CONTENT_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "pcm": "audio/pcm",
}
_IMAGES = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_AUDIO = {"wav": "wav", "mp3": "mp3", "ogg_opus": "ogg", "opus": "ogg", "pcm": "pcm", "m4a": "m4a"}
_SPEECH_IN_WAV = ("qwen3-tts", "qwen-voice-design", "voice-enrollment")  # their default
_MIDJOURNEY_GENERATION = re.compile(r"mj-v[\d.]+")


def kind_of(extension: str) -> str:
    """Return the kind of a file, video, image or audio, by its extension."""
    return CONTENT_TYPES[extension].partition("/")[0]


def is_layered(model: str) -> bool:
    """Return whether a model takes a picture apart into layers."""
    return model.endswith("-layerize")


def is_song(model: str) -> bool:
    """Return whether a model makes songs."""
    return model.startswith("suno-v")


def file_extensions(model: str, kind: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the extensions of the files that a generation delivers: its results, then the covers of its songs.

    :param model: id of the model.
    :param kind: video, image or audio.
    :param parameters: parameters of the request, with the documented defaults filled in.
    """
    if not _makes_files(model, parameters):
        return ()
    if is_song(model):
        return ("mp3",) * SONGS + ("jpg",) * SONGS
    if kind == "audio":
        return (_audio_extension(model, parameters),)
    extension = _video_extension(parameters) if kind == "video" else _image_extension(parameters)
    if is_layered(model):
        return (extension, *("png",) * _layers(parameters))
    return (extension,) * _count(model, parameters)


def _makes_files(model: str, parameters: Mapping[str, Any]) -> bool:
    return catalog.makes_files(model) or bool(parameters.get("voice_prompt"))  # a designed voice has a preview


def _count(model: str, parameters: Mapping[str, Any]) -> int:
    if _MIDJOURNEY_GENERATION.fullmatch(model):
        is_draft = _nested(parameters, "speed") == "draft" and model != "mj-v7"
        return MIDJOURNEY_DRAFTS if is_draft else MIDJOURNEY_GRID
    number = parameters.get("n")
    return min(number, MAX_RESULTS) if isinstance(number, int) and number > 0 else 1


def _layers(parameters: Mapping[str, Any]) -> int:
    request = f"{parameters.get('prompt')}{parameters.get('image_urls')}"
    return zlib.crc32(request.encode()) % MAX_LAYERED_FILES


def _video_extension(parameters: Mapping[str, Any]) -> str:
    return "mov" if parameters.get("output_format") == "mov" else "mp4"


def _image_extension(parameters: Mapping[str, Any]) -> str:
    requested = parameters.get("output_format") or _nested(parameters, "output_format")
    return _IMAGES.get(str(requested), "png")


def _audio_extension(model: str, parameters: Mapping[str, Any]) -> str:
    requested = parameters.get("format") or parameters.get("response_format")
    return _AUDIO.get(str(requested), "wav" if model.startswith(_SPEECH_IN_WAV) else "mp3")


def _nested(parameters: Mapping[str, Any], name: str) -> Any:
    nested = parameters.get("model_params")
    return nested.get(name) if isinstance(nested, Mapping) else None
