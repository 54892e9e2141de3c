# SPDX-License-Identifier: Apache-2.0
"""Reads the bodies of requests."""

from __future__ import annotations

import json
from typing import Any


def read_json(body: bytes) -> Any:
    """Read a JSON value.

    :param body: as it came.
    :raises ValueError: it is none, is nested too deep, or holds half a surrogate pair, which no answer can carry.
    """
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value
