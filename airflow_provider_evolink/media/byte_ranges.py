# SPDX-License-Identifier: Apache-2.0
"""Byte ranges of RFC 9110, as far as downloads need them: one range per request. Pure."""

from __future__ import annotations

import re

# Python refuses to parse numbers of thousands of digits.
_SINGLE_RANGE = re.compile(r"bytes=(\d{0,20})-(\d{0,20})")


class UnsatisfiableRangeError(ValueError):
    """The range starts beyond the end of the file."""


def parse_range(header: str | None, size: int) -> range | None:
    """Parse a ``Range`` header.

    :param header: its value; None if the request has none.
    :param size: size of the whole file in bytes.
    :return: the requested positions; None for the whole file, also if the header is malformed or unsupported.
    :raises UnsatisfiableRangeError: respond with 416.
    """
    match = _SINGLE_RANGE.fullmatch(header.strip()) if header else None
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= stop:
        raise UnsatisfiableRangeError(header)
    return range(start, stop)
