# SPDX-License-Identifier: Apache-2.0
"""Find out about a media file what a model may limit, from its content, of which little but the header is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import BinaryIO

from airflow_provider_evolink.api.media import describe_content
from airflow_provider_evolink.landing.media_types import BINARY, HEAD_BYTES, MediaType, identify
from airflow_provider_evolink.media import iso_media
from airflow_provider_evolink.media.files import size_of

log = logging.getLogger(__name__)

_ISO_MEDIA = frozenset({"mp4", "mov", "m4a"})
_FAMILIES = frozenset({"image", "video", "audio"})


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What is known about a media file.

    :param kind: ``image``, ``video`` or ``audio``; ``None`` for anything else.
    :param format: such as ``png``, ``jpeg`` or ``mp4``; ``None`` for anything else.
    :param description: such as "an HEIC image", for errors.
    :param content_type: such as ``image/png``.
    :param size: in bytes.
    :param width: in pixels, if the header states it, and ``height``.
    :param seconds: duration, if the header states it.
    """

    kind: str | None
    format: str | None
    description: str
    content_type: str
    size: int
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


def examine(file: BinaryIO) -> MediaFacts:
    """Return the facts about a file.

    :param file: at any position; read from its beginning.
    :raises OSError, ValueError: it can't be read.
    """
    size = size_of(file)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    return _recognized(head, size)


def measure(file: BinaryIO, facts: MediaFacts) -> MediaFacts:
    """Return the facts with the dimensions and the duration, where the file's header states them."""
    file.seek(0)
    try:
        width, height, seconds = _measured(file, facts)
    except Exception as error:
        # A library's own errors about a damaged or unusual header; EvoLink may read it all the same.
        log.debug("The header of %s can't be read: %r", facts.description, error)
        return facts
    return replace(facts, width=width, height=height, seconds=seconds)


def kind_and_format(head: bytes) -> tuple[str | None, str | None]:
    """Return the kind and the format of a file by its first bytes; None, None for anything that is not media."""
    media_type = identify(head[:HEAD_BYTES], None)
    if media_type is None or media_type == BINARY or media_type.family not in _FAMILIES:
        return None, None
    return media_type.family, _format(media_type)


def _recognized(head: bytes, size: int) -> MediaFacts:
    kind, name = kind_and_format(head)
    if kind is None or name is None:
        return MediaFacts(None, None, describe_content(head), BINARY.content_type, size)
    media_type = identify(head, None)
    content_type = media_type.content_type if media_type else BINARY.content_type
    return MediaFacts(kind, name, _described(kind, name), content_type, size)


def _format(media_type: MediaType) -> str:
    return "jpeg" if media_type.extension == "jpg" else media_type.extension


def _described(kind: str, name: str) -> str:
    article = "an" if name[0] in "ao" or name.startswith(("mp", "m4", "mk")) else "a"
    noun = "audio file" if kind == "audio" else kind
    return f"{article} {name.upper()} {noun}"


def _measured(file: BinaryIO, facts: MediaFacts) -> tuple[int | None, int | None, float | None]:
    if facts.format in _ISO_MEDIA:
        return iso_media.picture_and_duration(file)
    if facts.kind == "image":
        import imagesize

        width, height = imagesize.get(file)
        return (width, height, None) if width > 0 and height > 0 else (None, None, None)
    if facts.kind == "audio":
        from tinytag import TinyTag

        return None, None, TinyTag.get(file_obj=file, tags=False).duration or None
    return None, None, None
