# SPDX-License-Identifier: Apache-2.0
"""Resume a download by range requests with ``If-Range`` (RFC 9110), and back off between attempts. Pure.

The backoff has jitter against a thundering herd of downloads that were cut together.

Whether EvoLink's media hosts support ``Range`` is undocumented, so both ways work: a server that does is asked for the
rest only, one that does not sends the whole file again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_CLIENT_ERRORS, _SERVER_ERRORS = range(400, 500), range(500, 600)
# Seconds.
_FIRST_DELAY, _MAX_DELAY = 0.5, 20.0


class Verdict(Enum):
    """What to do with a response."""

    WHOLE = auto()
    """Its body is the file from the start."""
    PARTIAL = auto()
    """Its body continues where the last one was cut."""
    RESTART = auto()
    """It does not fit what was received: discard that, and request the whole file."""
    RETRY = auto()
    """The server is temporarily unable to answer."""
    EXPIRED = auto()
    """The link is dead."""
    UNEXPECTED = auto()
    """Anything else."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a download is.

    :param received: bytes so far.
    :param total: bytes of the whole file, if the server stated it.
    :param validator: identifies this version of the file: a strong ``ETag``, or ``Last-Modified``.
    """

    received: int = 0
    total: int | None = None
    validator: str | None = None

    @property
    def can_resume(self) -> bool:
        """Whether the rest may be requested; without a validator two versions could get mixed."""
        return self.received > 0 and self.validator is not None


def request_headers(position: Position) -> dict[str, str]:
    """Return the headers that request the missing rest; none if the whole file is needed."""
    if not position.can_resume or position.validator is None:
        return {}
    return {"Range": f"bytes={position.received}-", "If-Range": position.validator}


def classify(status: int, headers: Mapping[str, str], position: Position) -> Verdict:
    """Decide by status and headers what to do with a response.

    :param headers: names in lower case.
    :param position: how far the download was at the time of the request.
    """
    match status:
        case 200:
            return Verdict.WHOLE
        case 206:
            return Verdict.PARTIAL if position.can_resume and _fits(headers, position) else Verdict.RESTART
        case 416 if position.can_resume:
            return Verdict.RESTART
        case 202 | 204 | 408 | 425 | 429:
            return Verdict.RETRY
        case _ if status in _CLIENT_ERRORS:
            # Stores answer differently for a dead link: 400 ExpiredToken, 401, 403, 404, 410.
            return Verdict.EXPIRED
        case _:
            return Verdict.RETRY if status in _SERVER_ERRORS else Verdict.UNEXPECTED


def total_of(headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole file as a 206 response states it."""
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    return int(match[3]) if match else None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return what may be used in ``If-Range``: a strong ``ETag``, otherwise ``Last-Modified``."""
    etag = headers.get("etag", "").strip()
    if etag.startswith('"'):
        return etag
    return headers.get("last-modified", "").strip() or None


def retry_delay(failures: int, retry_after: float | None, *, jitter: float) -> float:
    """Compute an exponential backoff with jitter.

    :param failures: in a row, at least 1.
    :param retry_after: seconds the server asked to wait; never shortened.
    :param jitter: a random number from 0 to 1.
    :return: seconds to wait before the next attempt: at most 20, unless the server asked for more.
    """
    backoff = min(_FIRST_DELAY * 2.0 ** (failures - 1), _MAX_DELAY) * (0.5 + jitter / 2)
    return max(backoff, retry_after or 0.0)


def _fits(headers: Mapping[str, str], position: Position) -> bool:
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if not match:
        return False
    first, last, total = (int(number) for number in match.groups())
    has_etag = (position.validator or "").startswith('"')
    is_same = not has_etag or headers.get("etag", position.validator) == position.validator
    return is_same and first == position.received and first <= last < total and position.total in {None, total}
