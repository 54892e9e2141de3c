# SPDX-License-Identifier: Apache-2.0
"""Tell what a text that stands for media is: a link, the data itself, or where a file is. Pure."""

from __future__ import annotations

import re
from enum import Enum

from airflow_provider_evolink.api.media import decode_base64, head_of_base64, looks_like_path, looks_like_url
from airflow_provider_evolink.media.facts import kind_and_format

_LOCATION = re.compile(r"[a-z][a-z0-9+.-]*://|[/~]|\.{1,2}/", re.IGNORECASE)
_AUDIO_NAME = re.compile(r"\.(wav|mp3|m4a|ogg|opus|flac|aac|pcm)$", re.IGNORECASE)


class Form(Enum):
    """What a text is."""

    LINK = "link"
    DATA = "data"
    LOCATION = "location"


def form_of(text: str) -> Form:
    """Return what a text is, without white space around it.

    A path may be valid base64, so base64 must begin like media, or be longer than any path.
    """
    if looks_like_url(text):
        return Form.LINK
    if text[:5].lower() == "data:" or not looks_like_path(text):
        return Form.DATA
    kind, _ = kind_and_format(head_of_base64(text))
    return Form.DATA if kind is not None and len(text) >= _SHORTEST_DATA else Form.LOCATION


# Of a path shorter than this, a beginning that decodes to a signature is chance.
_SHORTEST_DATA = 64


def is_location(text: str) -> bool:
    """Return whether a text is meant as a file where it may be a name as well, such as the id of a voice."""
    return bool(_LOCATION.match(text) or _AUDIO_NAME.search(text))


def data_of(text: str) -> bytes | None:
    """Return the data of a data URL or of bare base64; None if it is damaged, or encoded otherwise."""
    header, comma, payload = text.partition(",")
    if text[:5].lower() != "data:":
        return decode_base64(text)
    return decode_base64(payload) if comma and header.lower().endswith(";base64") else None
