# SPDX-License-Identifier: Apache-2.0
"""Byte ranges of RFC 9110, as far as downloads need them: one range at a time. Pure."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class UnsatisfiableRangeError(ValueError):
    """The range begins behind the end."""


def parse(header: str | None, size: int) -> range | None:
    """Read a `Range` header.

    :param header: its value; None if there is none.
    :param size: bytes of the whole file.
    :return: the positions asked for; None for the whole file, also when the header is none we know.
    :raises UnsatisfiableRangeError: answer 416.
    """
    found = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= stop:
        raise UnsatisfiableRangeError(header)
    return range(start, stop)
