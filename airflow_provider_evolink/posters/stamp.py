# SPDX-License-Identifier: Apache-2.0
"""Recognize posters: each names, in a comment of its JPEG, the file that it shows. Pure.

The comment also has a digest of the poster itself, so that one that was cut off, or edited since, is not taken for one
that this package has drawn.
"""

from __future__ import annotations

import hashlib
import re

# Added to the name of the file that it shows.
SUFFIX = ".poster.jpg"
CONTENT_TYPE = "image/jpeg"
# Far more than any poster has; no more of an unknown file is read to find out whether it is one.
MAX_BYTES = 256 * 1024

_START, _COMMENT = b"\xff\xd8", b"\xff\xfe"
_STAMPED = re.compile(rb"\xff\xd8\xff\xfe..EvoLink poster of ([0-9a-f]{64}), digest ([0-9a-f]{64})(\xff.*)", re.DOTALL)


def stamp(jpeg: bytes, sha256: str) -> bytes:
    """Return a poster that names the file it shows.

    :param jpeg: the poster.
    :param sha256: of the file that it shows, in hexadecimal.
    """
    rest = jpeg.removeprefix(_START)
    text = f"EvoLink poster of {sha256}, digest {_digest(sha256.encode(), rest)}".encode()
    return _START + _COMMENT + (len(text) + 2).to_bytes(2) + text + rest


def shown_file(poster: bytes) -> str | None:
    """Return the SHA-256 of the file that a poster shows; ``None`` if it is not a poster as it was drawn."""
    match = _STAMPED.fullmatch(poster)
    if match is None or match[2] != _digest(match[1], match[3]).encode():
        return None
    return match[1].decode()


def _digest(sha256: bytes, rest: bytes) -> str:
    return hashlib.sha256(sha256 + rest).hexdigest()
