# SPDX-License-Identifier: Apache-2.0
"""The videos of the experiment, each with its own prompt."""

from __future__ import annotations

import os
from typing import Any

COUNT_VARIABLE = "CHAOS_TASKS"
COUNT = 200
_DURATIONS = (3, 4, 5)
_RATIOS = ("16:9", "9:16")


def count() -> int:
    """Return the number of videos."""
    return int(os.environ.get(COUNT_VARIABLE) or COUNT)


def video_arguments() -> list[dict[str, Any]]:
    """Return the operator arguments of each video; all videos differ, so that none can pass for another."""
    return [
        {
            "prompt": f"Lighthouse number {number}",
            "duration": _DURATIONS[number % len(_DURATIONS)],
            "aspect_ratio": _RATIOS[number // len(_DURATIONS) % len(_RATIOS)],
        }
        for number in range(count())
    ]
