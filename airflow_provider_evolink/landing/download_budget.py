# SPDX-License-Identifier: Apache-2.0
"""Decide how long to keep trying a download: by failures in a row, by throughput, and by total time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.api.transports.tls import certificate_advice
from airflow_provider_evolink.landing import range_requests, urls

_RANDOM = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest file allowed, and how long and how often a download is attempted.

    :param max_bytes: of one file.
    :param max_attempts: failures in a row after which a download is given up.
    :param min_progress: bytes that have to be received between two failures to start that count again.
    :param min_bytes_per_second: throughput, averaged over ``throughput_window``, below which a response counts as cut.
    :param throughput_window: seconds.
    :param total_timeout: seconds for one file, all attempts, delays and links together; so a slow server can't hold
        the task forever.
    """

    max_bytes: int = 5 * 1024**3
    max_attempts: int = 6
    min_progress: int = 1024 * 1024
    min_bytes_per_second: float = 1024.0
    throughput_window: float = 60.0
    total_timeout: float = 3600.0


LIMITS = Limits()


class InterruptedDownloadError(Exception):
    """This attempt has failed; another one may succeed.

    :param reason: what happened, without a stop at the end.
    :param retry_after: seconds the server asked to wait, if it did.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class DownloadBudget:
    """Count failures without progress, and watch the clock.

    :param clock: returns seconds; has to be monotonic.
    :param started: when the total time started, on the clock; ``None`` for now.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], started: float | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = 0
        self._furthest = 0
        self._deadline = (clock() if started is None else started) + limits.total_timeout
        self._window_start, self._window_received = 0.0, 0

    def start_response(self, received: int) -> None:
        """Measure the throughput from here.

        :param received: bytes that have been received already.
        """
        self._window_start, self._window_received = self._clock(), received

    def check_throughput(self, received: int) -> None:
        """Check throughput and total time once more bytes have been received.

        :raises InterruptedDownloadError: this response is too slow.
        :raises LandingError: the download has taken too long.
        """
        now = self._clock()
        self._check_deadline(now, received)
        window = self._limits.throughput_window
        if now - self._window_start >= window:
            if received - self._window_received < self._limits.min_bytes_per_second * window:
                raise InterruptedDownloadError("the transfer was too slow")
            self._window_start, self._window_received = now, received

    def delay_after(self, error: Exception, received: int, link: str) -> float:
        """Count a failure.

        :param received: bytes that have been received so far.
        :return: seconds to wait before the next attempt.
        :raises LandingError: there are no attempts or no time left.
        """
        has_progressed = received >= self._furthest + self._limits.min_progress
        self._furthest = max(self._furthest, received)
        self._failures = 1 if has_progressed else self._failures + 1
        if self._failures >= self._limits.max_attempts:
            attempts = f"{self._failures} attempts in a row"
            raise LandingError(
                f"The download was incomplete after {attempts}: {_reason(error)}.{_advice(error, link)}"
            ) from error
        retry_after = error.retry_after if isinstance(error, InterruptedDownloadError) else None
        delay = range_requests.retry_delay(self._failures, retry_after, jitter=_RANDOM.random())
        self._check_deadline(self._clock() + delay, received, _reason(error))
        return delay

    def _check_deadline(self, now: float, received: int, reason: str = "the server is too slow") -> None:
        if now > self._deadline:
            raise LandingError(
                f"The download was incomplete after {self._limits.total_timeout:g} s ({received} bytes received): "
                f"{reason}."
            )


def _reason(error: Exception) -> str:
    if isinstance(error, InterruptedDownloadError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the server stopped sending"
    return f"{type(error).__name__} {sanitize(str(error), '') or ''}".strip()


def _advice(error: Exception, link: str) -> str:
    note = " The link is plain http; it is only requested over https." if urls.is_plain_http(link) else ""
    return f"{certificate_advice(error)}{note}"
