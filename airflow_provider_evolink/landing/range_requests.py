# SPDX-License-Identifier: Apache-2.0
"""
What an answer means for a download that may have begun, and how long to wait after a failure.

Pure. Whether EvoLink's media hosts take ``Range`` is undocumented, so both ways work: a server that does is
asked for the rest only, one that does not sends everything again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_CLIENT_ERRORS, _SERVER_ERRORS = range(400, 500), range(500, 600)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0


class Verdict(Enum):
    """What to do with an answer."""

    WHOLE = auto()
    """Its body is the file from the start."""
    PARTIAL = auto()
    """Its body goes on where the last one was cut."""
    RESTART = auto()
    """It does not fit what is there: forget that, and ask for the whole."""
    RETRY = auto()
    """The server can't just now."""
    EXPIRED = auto()
    """The link is dead."""
    REFUSED = auto()
    """Anything else."""


@dataclass(frozen=True, slots=True)
class Position:
    """
    How far a download is.

    :param have: bytes that are there.
    :param total: bytes of the whole file, if the server said so.
    :param validator: what tells this version of the file from others: a strong ``ETag`` or ``Last-Modified``.
    """

    received: int = 0
    total: int | None = None
    validator: str | None = None

    @property
    def can_resume(self) -> bool:
        """Whether the rest may be asked for; without a validator two versions could get mixed."""
        return self.received > 0 and self.validator is not None


def request_headers(position: Position) -> dict[str, str]:
    """Return the headers that ask for what is missing: nothing if the whole is wanted."""
    if not position.can_resume or position.validator is None:
        return {}
    return {"Range": f"bytes={position.received}-", "If-Range": position.validator}


def judge(status: int, headers: Mapping[str, str], position: Position) -> Verdict:
    """
    Read an answer's status and headers.

    :param headers: names in lower case.
    :param position: how far the download was when this was asked.
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
            # Stores have many words for a link that has died: 400 ExpiredToken, 401, 403, 404, 410.
            return Verdict.EXPIRED
        case _:
            return Verdict.RETRY if status in _SERVER_ERRORS else Verdict.REFUSED


def total_of(headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole file as a 206 answer states it."""
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    return int(match[3]) if match else None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return what may stand in ``If-Range``: a strong ``ETag``, or else ``Last-Modified``."""
    etag = headers.get("etag", "").strip()
    if etag.startswith('"'):
        return etag
    return headers.get("last-modified", "").strip() or None


def retry_delay(failures: int, retry_after: float | None, *, jitter: float) -> float:
    """
    Seconds to wait before the next try.

    :param failures: in a row, at least 1.
    :param told: seconds that the server asked for; honoured, and never cut short.
    :param chance: a random number from 0 to 1.
    """
    backoff = min(_FIRST_PAUSE * 2.0 ** (failures - 1), _LONGEST_PAUSE) * (0.5 + jitter / 2)
    return max(backoff, retry_after or 0.0)


def _fits(headers: Mapping[str, str], position: Position) -> bool:
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if not match:
        return False
    first, last, total = (int(number) for number in match.groups())
    was_etag = (position.validator or "").startswith('"')
    is_same = not was_etag or headers.get("etag", position.validator) == position.validator
    return is_same and first == position.received and first <= last < total and position.total in {None, total}
