# SPDX-License-Identifier: Apache-2.0
"""Take values of the expected kinds from what anybody may have written, whatever it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_TEXT = 2000


def as_text(value: object) -> str | None:
    """Return a text that can be sent and shown: printable, of bounded length, with its line ends."""
    if not isinstance(value, str) or not value.strip():
        return None
    shown = value[:_MAX_TEXT]
    return "".join(char if char.isprintable() or char == "\n" else " " for char in shown)


def file_name(uri: str) -> str | None:
    """Return the last part of a URI, as text to show."""
    return as_text(uri.rstrip("/").rpartition("/")[2])


def as_uri(value: object) -> str | None:
    """Return a text that may be a URI; ``None`` if it is none."""
    return value if isinstance(value, str) and value else None


def as_digest(value: object) -> str | None:
    """Return a SHA-256; ``None`` if it is none."""
    return value if isinstance(value, str) and _SHA256.fullmatch(value) else None


def as_count(value: object) -> int | None:
    """Return a number of bytes or of other things; ``None`` if it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def first_number(*values: object) -> float | None:
    """Return the first of some values that is a number; ``None`` if none is."""
    return next((number for value in values if (number := _number(value)) is not None), None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 2**53 else None  # neither NaN nor infinity is


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping; an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[Any]:
    """Return a list; an empty one in place of anything else."""
    return value if isinstance(value, list) else []


def mappings_in(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in a list."""
    return (item for item in as_list(value) if isinstance(item, Mapping))


def item_at(value: object, index: int) -> Any:
    """Return an item of a list; ``None`` if there is no such item."""
    items = as_list(value)
    return items[index] if index < len(items) else None
