# SPDX-License-Identifier: Apache-2.0
"""Check sizes in pixels, such as ``1024x768``, against a model's limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SIZE = re.compile(r"([0-9]{1,6})[x\u00d7]([0-9]{1,6})")


def has_pixels(size: str, limits: Mapping[str, Any]) -> bool:
    """Return whether a size is within a model's limits.

    :param size: ``<width>x<height>`` in pixels, with an x or a multiplication sign.
    :param limits: ``side`` and ``area`` (minimum and maximum in pixels, either may be None), ``ratio`` (maximum of the
        longer side to the shorter one) and ``step`` (both sides are multiples of it); each may be missing.
    """
    match = _SIZE.fullmatch(size)
    if match is None:
        return False
    shorter, longer = sorted(map(int, match.groups()))
    return (
        shorter > 0
        and _within(shorter, limits.get("side"))
        and _within(longer, limits.get("side"))
        and _within(shorter * longer, limits.get("area"))
        and longer <= limits.get("ratio", longer) * shorter
        and shorter % limits.get("step", 1) == longer % limits.get("step", 1) == 0
    )


def pixels_in_words(limits: Mapping[str, Any]) -> str:
    """Describe the sizes within a model's limits, as in "a size such as '1024x1024' with ..."."""
    parts = []
    if "side" in limits:
        parts.append(f"sides of {_range(limits['side'])} pixels")
    if "area" in limits:
        parts.append(f"{_range(limits['area'])} pixels in total")
    if "step" in limits:
        parts.append(f"sides that are multiples of {limits['step']}")
    if "ratio" in limits:
        parts.append(f"an aspect ratio of at most {limits['ratio']}:1")
    return f"a size such as '1024x1024' with {', '.join(parts)}"


def _within(number: int, limits: list[int | None] | None) -> bool:
    low, high = limits or (None, None)
    return (low or 0) <= number <= (number if high is None else high)


def _range(limits: list[int | None]) -> str:
    low, high = limits
    return f"at least {low}" if high is None else f"{low} to {high}"
