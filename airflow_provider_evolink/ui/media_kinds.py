# SPDX-License-Identifier: Apache-2.0
"""Which media types a browser may be given: raster images, video and audio, none of which can run a script. Pure."""

from __future__ import annotations

_BY_EXTENSION = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "m4v": "video/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
}
_SHOWN = frozenset(_BY_EXTENSION.values()) | {"video/ogg", "video/mpeg", "audio/webm", "audio/x-wav", "audio/x-flac"}


def content_type(stated: object, name: str) -> str | None:
    """Return the media type of a file without parameters, in lower case.

    :param stated: by the record; the extension decides if there is none.
    :param name: of the file.
    """
    if isinstance(stated, str):
        stated = stated.partition(";")[0].strip().lower()[:100]
        return stated if stated.isprintable() else None
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower())


def is_shown(media_type: str | None) -> bool:
    """Return whether files of a media type are shown."""
    return media_type in _SHOWN


def kind_of(media_type: str | None) -> str | None:
    """Return ``video``, ``image`` or ``audio``; None for anything else."""
    family = (media_type or "").partition("/")[0]
    return family if family in {"video", "image", "audio"} else None
