"""What is wished for: as many videos as the run is to have, each with a prompt of its own."""

from __future__ import annotations

import os
from typing import Any

COUNT_VARIABLE = "CHAOS_TASKS"
COUNT = 200
_DURATIONS = (3, 4, 5)
_RATIOS = ("16:9", "9:16")


def count() -> int:
    """How many videos the run is to have."""
    return int(os.environ.get(COUNT_VARIABLE) or COUNT)


def wishes() -> list[dict[str, Any]]:
    """List the arguments of each. Their films differ, so that one can't pass for another unnoticed."""
    return [
        {
            "prompt": f"Lighthouse number {number}",
            "duration": _DURATIONS[number % len(_DURATIONS)],
            "aspect_ratio": _RATIOS[number // len(_DURATIONS) % len(_RATIOS)],
        }
        for number in range(count())
    ]
