# SPDX-License-Identifier: Apache-2.0
"""Parse request bodies."""

from __future__ import annotations

import json
from typing import Any


def parse_json(body: bytes) -> Any:
    """Parse a JSON value.

    :param body: the request body.
    :raises ValueError: it is not JSON, is nested too deeply, or has a lone surrogate, which no response can carry.
    """
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value
