# SPDX-License-Identifier: Apache-2.0
"""The videos of the experiment, each with its own prompt."""

from __future__ import annotations

import os
from typing import Any

COUNT_VARIABLE, BATCHES_VARIABLE = "CHAOS_TASKS", "CHAOS_BATCHES"
COUNT, COUNT_IN_BATCHES = 200, 300
_DURATIONS = (3, 4, 5)
_RATIOS = ("16:9", "9:16")


def count() -> int:
    """Return the number of videos."""
    return int(os.environ.get(COUNT_VARIABLE) or (COUNT_IN_BATCHES if batches() else COUNT))


def batches() -> int:
    """Return the number of batches that make them; 0 = each is made by a task of its own."""
    return int(os.environ.get(BATCHES_VARIABLE) or 0)


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


def batch_rows() -> list[list[dict[str, Any]]]:
    """Return the rows of each batch: the same videos, each with a key."""
    rows = [{"sku": f"V{number}", **arguments} for number, arguments in enumerate(video_arguments())]
    return [rows[number :: batches()] for number in range(batches())]
