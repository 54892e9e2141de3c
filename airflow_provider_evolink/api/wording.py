# SPDX-License-Identifier: Apache-2.0
"""Write counts into sentences. Pure."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2,000 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def have(count: int) -> str:
    """Return "has" or "have"."""
    return "has" if count == 1 else "have"


def are(count: int) -> str:
    """Return "is" or "are"."""
    return "is" if count == 1 else "are"


def were(count: int) -> str:
    """Return "was" or "were"."""
    return "was" if count == 1 else "were"
