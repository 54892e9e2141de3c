# SPDX-License-Identifier: Apache-2.0
"""The response check that ``HttpEventTrigger`` wants, in a module of its own since it is loaded anew at every poll."""

from __future__ import annotations

from typing import Any


async def is_done(response: Any) -> bool:
    """Whether the plain endpoint says that the job has ended."""
    return bool(response.json()["done"])
