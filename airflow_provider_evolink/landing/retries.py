# SPDX-License-Identifier: Apache-2.0
"""Decides how long a download is worth going on with: failures in a row, pace, and time in all."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.api.transports.tls import certificate_advice
from airflow_provider_evolink.landing import range_requests, urls

if TYPE_CHECKING:
    from airflow_provider_evolink.landing.download import Limits

_DICE = random.SystemRandom()


class InterruptedDownloadError(Exception):
    """This try has failed, another may not."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class DownloadBudget:
    """
    Counts failures, as long as nothing more comes, and watches the clock.

    :param began: when the time in all began, if not now.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], began: float | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = 0
        self._furthest = 0
        self._end = (clock() if began is None else began) + limits.seconds
        self._since, self._mark = 0.0, 0

    def begin_answer(self, have: int) -> None:
        """Measure the pace from here."""
        self._since, self._mark = self._clock(), have

    def check_pace(self, have: int) -> None:
        """Break off an answer that comes too slowly, and end a download that takes too long."""
        now = self._clock()
        self._check_end(now, have)
        if now - self._since >= self._limits.window:
            if have - self._mark < self._limits.slowest * self._limits.window:
                raise InterruptedDownloadError("it came too slowly")
            self._since, self._mark = now, have

    def _check_end(self, now: float, have: int, reason: str = "the server is too slow") -> None:
        if now > self._end:
            raise LandingError(f"It did not come whole within {self._limits.seconds:g} s ({have} bytes did): {reason}.")

    def after(self, error: Exception, have: int, link: str) -> float:
        """Return the seconds to wait after a failure with so many bytes there, or give up."""
        moved = have >= self._furthest + self._limits.progress
        self._furthest = max(self._furthest, have)
        self._failures = 1 if moved else self._failures + 1
        if self._failures >= self._limits.tries:
            tries = f"{self._failures} tries in a row"
            raise LandingError(f"It did not come whole in {tries}: {_reason(error)}.{_advice(error, link)}") from error
        asked = error.retry_after if isinstance(error, InterruptedDownloadError) else None
        wait = range_requests.retry_delay(self._failures, asked, jitter=_DICE.random())
        self._check_end(self._clock() + wait, have, _reason(error))
        return wait


def _reason(error: Exception) -> str:
    if isinstance(error, InterruptedDownloadError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the server fell silent"
    return f"{type(error).__name__} {sanitize(str(error), '') or ''}".strip()


def _advice(error: Exception, link: str) -> str:
    note = " Its link says http; it is asked for over https only." if urls.is_plain_http(link) else ""
    return f"{certificate_advice(error)}{note}"
