# SPDX-License-Identifier: Apache-2.0
"""The response check that ``HttpEventTrigger`` needs, in its own module because it is imported anew at every poll."""

from __future__ import annotations

from typing import Any


async def is_done(response: Any) -> bool:
    """Return whether the plain endpoint reports the end of the job."""
    return bool(response.json()["done"])
