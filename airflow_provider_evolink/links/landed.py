# SPDX-License-Identifier: Apache-2.0
"""What a task has landed, by the value that it has returned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def landed_of(value: Any) -> Any:
    """Return what a task has landed: its files, or their number if it is a batch; something empty if nothing.

    :param value: what the task has returned, if it has returned anything.
    """
    return value.get("landed") if isinstance(value, Mapping) else value
