# SPDX-License-Identifier: Apache-2.0
"""Make text from outside safe to log, store and show: one printable line of bounded length, without the API key.

Pure.
"""

from __future__ import annotations

import functools
import html
import json
from typing import Any
from urllib.parse import quote

# The last three are Chinese: full stop, exclamation mark and question mark.
_SENTENCE_ENDINGS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
_MAX_LENGTH = 500
_MIN_SECRET_LENGTH = 8


def sanitize(value: object, secret: str) -> str | None:
    """Return a text from outside as one printable line without the API key.

    :param value: a text or an integer; anything else, ``bool`` included, becomes None.
    :param secret: the API key; may be empty.
    :return: at most 500 characters, cut off with an ellipsis.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    if secret:
        text = text.replace(secret, "***")
    if len(text) <= _MAX_LENGTH and text.isprintable() and " " not in text:
        return text
    text = text[: 4 * _MAX_LENGTH]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LENGTH else line[: _MAX_LENGTH - 3] + "..."


def sentence(text: str) -> str:
    """End a text that quotes others with a period, unless it ends a sentence already."""
    return text if text.endswith(_SENTENCE_ENDINGS) else f"{text}."


def redact_bytes(body: bytes, secret: str) -> bytes:
    """Remove echoes of the API key, unless it is so short that it occurs in ordinary responses."""
    if len(secret) < _MIN_SECRET_LENGTH:
        return body
    for encoded in _encodings(secret):
        body = body.replace(encoded, b"***")
    return body


@functools.lru_cache(maxsize=8)
def _encodings(secret: str) -> frozenset[bytes]:
    """Return the API key plain and as encoded in JSON, HTML and URLs, which differs only for unusual characters."""
    encoded = (secret, json.dumps(secret)[1:-1], html.escape(secret), quote(secret, safe=""))
    return frozenset(text.encode() for text in encoded)


def redact(value: Any, secret: str) -> Any:
    """Remove the API key from every text of a JSON value, and replace lone surrogates with question marks.

    Airflow can neither store nor log a lone surrogate. A secret of fewer than eight characters stays.
    """
    if isinstance(value, str):
        text = value.replace(secret, "***") if len(secret) >= _MIN_SECRET_LENGTH else value
        return text if text.isascii() else text.encode(errors="replace").decode()
    if isinstance(value, list):
        return [redact(item, secret) for item in value]
    if isinstance(value, dict):
        return {redact(name, secret): redact(item, secret) for name, item in value.items()}
    return value
