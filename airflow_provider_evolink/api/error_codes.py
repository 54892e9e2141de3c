# SPDX-License-Identifier: Apache-2.0
"""Every error code of a failed generation: whether a retry may succeed, and how long to wait before it.

The codes and the delays are documented, except for ``model_unavailable``, ``rate_limited`` and ``upstream_error``,
which are known from EvoLink's own clients only. Those clients disagree about ``generation_failed_no_content`` and
``unknown_error``; both count as retryable, since a failed generation is not charged. The list is open: other codes
occur, and none of them is retried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What a code means for a retry.

    :param retryable: whether the same request may succeed.
    :param delay: seconds that EvoLink advises to wait before a retry; 0 where it documents none.
    """

    retryable: bool
    delay: float = 0.0


ERROR_CODES: Mapping[str, ErrorCode] = {
    "content_policy_violation": ErrorCode(retryable=False),
    "generation_failed_no_content": ErrorCode(retryable=True),
    "generation_timeout": ErrorCode(retryable=True, delay=120.0),
    "image_dimension_mismatch": ErrorCode(retryable=False),
    "image_processing_error": ErrorCode(retryable=False),
    "invalid_parameters": ErrorCode(retryable=False),
    "model_unavailable": ErrorCode(retryable=True),
    "quota_exceeded": ErrorCode(retryable=True),
    "rate_limited": ErrorCode(retryable=True),
    "request_cancelled": ErrorCode(retryable=True),
    "resource_exhausted": ErrorCode(retryable=True, delay=60.0),
    "resource_not_found": ErrorCode(retryable=False),
    "service_error": ErrorCode(retryable=True, delay=30.0),
    "service_unavailable": ErrorCode(retryable=True, delay=120.0),
    "unknown_error": ErrorCode(retryable=True),
    "upstream_error": ErrorCode(retryable=True),
}


def is_retryable(code: str | None) -> bool:
    """Return whether the same request may succeed after a generation failed with this code; without a code it may."""
    return code is None or (code in ERROR_CODES and ERROR_CODES[code].retryable)


def permanence(code: str | None) -> tuple[str, str]:
    """Return why a generation that failed with this code is not retried, and what a person can do about it."""
    if code in ERROR_CODES:
        return "The same request would fail again", "fix the request, then clear the task"
    return "EvoLink does not document this error code", "clear the task to submit a new one"


def advised_delay(code: str | None) -> float:
    """Return the seconds that EvoLink advises to wait before a retry; 0 where it advises nothing."""
    known = ERROR_CODES.get(code or "")
    return 0.0 if known is None else known.delay
