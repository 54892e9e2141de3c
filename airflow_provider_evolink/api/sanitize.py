# SPDX-License-Identifier: Apache-2.0
"""
Makes text from outside safe to log, store and show: one printable line, bounded in length, without the API key.

Pure.
"""

from __future__ import annotations

import functools
import html
import json
from typing import Any
from urllib.parse import quote

# Chinese ones, too: full stop, exclamation mark and question mark.
_ENDS_OF_SENTENCES = (".", "!", "?", "…", "\u3002", "\uff01", "\uff1f")
_MAX_DETAIL = 500
_SHORTEST_SECRET = 8


def sanitize(value: object, secret: str) -> str | None:
    """Make a text from outside fit for a log: one line, at most 500 characters, without the API key."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    if secret:
        text = text.replace(secret, "***")
    text = text[: 4 * _MAX_DETAIL]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(text.split())
    return line if len(line) <= _MAX_DETAIL else line[:_MAX_DETAIL] + "…"


def sentence(text: str) -> str:
    """End a text that quotes others with a full stop, unless it ends a sentence already."""
    return text if text.endswith(_ENDS_OF_SENTENCES) else f"{text}."


def redact_bytes(body: bytes, secret: str) -> bytes:
    """Cut out an echo of the API key, unless it is so short that honest answers hold it too."""
    if len(secret) < _SHORTEST_SECRET:
        return body
    for written in _spellings(secret):
        body = body.replace(written, b"***")
    return body


@functools.lru_cache(maxsize=8)
def _spellings(secret: str) -> frozenset[bytes]:
    """How JSON, a web page and a URL write it; they differ only if it has other characters than usual."""
    written = (secret, json.dumps(secret)[1:-1], html.escape(secret), quote(secret, safe=""))
    return frozenset(text.encode() for text in written)


def redact(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        text = value.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else value
        return text if text.isascii() else text.encode(errors="replace").decode()
    if isinstance(value, list):
        return [redact(item, secret) for item in value]
    if isinstance(value, dict):
        return {redact(name, secret): redact(item, secret) for name, item in value.items()}
    return value
