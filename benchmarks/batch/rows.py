# SPDX-License-Identifier: Apache-2.0
"""The table that all contenders generate videos from, and the names of the files that they make. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from benchmarks.jobs import job_of_id

KEY = "sku"
CONN_ID = "bench"
# Arguments of every task. A try that fails is the machine's fault here, so the next needn't wait five minutes.
DEFAULTS = {"evolink_conn_id": CONN_ID, "retries": 3, "retry_delay": timedelta(seconds=5)}
# What EvoLinkBatchOperator calls a file, so that its generation's id, and with it the end of it, can be read off.
BATCH_PATTERN = "{key}/{generation_id}.{ext}"
_ID = re.compile(r"task-unified-\d+-\d+")


def parameters(number: int) -> dict[str, Any]:
    """Return the parameters of a generation, all but the model."""
    return {
        "prompt": f"Product {number} turns slowly on a white table in soft light. No dialogue.",
        "image_urls": [f"https://cdn.example.com/products/{number:06d}.png"],
        "duration": 5,
    }


def json_lines(count: int) -> Iterator[str]:
    """Yield the table as JSON Lines: the parameters, and a key for each row."""
    for number in range(count):
        yield json.dumps({KEY: f"SKU-{number:06d}"} | parameters(number)) + "\n"


def completed_at(path: str) -> float | None:
    """Return when the generation in a file's name was completed, in seconds since the epoch; None if it names none."""
    found = _ID.search(path)
    return job_of_id(found[0]).ends_at if found else None
