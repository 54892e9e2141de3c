# SPDX-License-Identifier: Apache-2.0
"""Read a generation that is paid for, on a worker, until there is a response or a refusal that can be trusted.

Reads are free, and a refusal may come from a gateway, a replica that lags, or an API key that is just being replaced.
So a single refusal decides nothing; several of the same kind, over minutes, do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import ApiError, ConfigurationError, EvoLinkError
from airflow_provider_evolink.api.generation import CONFIRMATION_SECONDS

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation

# Refusals of the same kind that are trusted, if CONFIRMATION_SECONDS lie between the first and the last.
CONFIRMING_READS = 3
_FIRST_PAUSE, _MAX_PAUSE = 2.0, 30.0


@dataclass(frozen=True, slots=True)
class Refused:
    """EvoLink has refused to report on the generation, each time for the same reason.

    :param error: the last refusal.
    :param times: the number of refusals in a row.
    :param seconds: from the first refusal to the last.
    """

    error: EvoLinkError
    times: int
    seconds: float

    @property
    def is_confirmed(self) -> bool:
        """Whether so many agree that a stray response can be ruled out; less if a deadline came first."""
        return self.times >= CONFIRMING_READS


@dataclass(frozen=True, slots=True)
class Unanswered:
    """EvoLink could not be reached, or its refusals contradict each other; a later read may succeed.

    :param error: the last failure.
    :param since: time of the first failure, in seconds since the epoch.
    """

    error: EvoLinkError
    since: float


@dataclass(frozen=True, slots=True)
class FailedReads:
    """What the failed reads of one generation have in common.

    :param since: time of the first, in seconds since the epoch.
    :param reads: how many failed.
    :param refusal: the kind of the last refusal.
    :param refused_since: since when all refusals are of this kind, in seconds since the epoch.
    :param refusals: how many of them there were.
    """

    since: float
    reads: int = 0
    refusal: type[EvoLinkError] | None = None
    refused_since: float = 0.0
    refusals: int = 0

    def add(self, error: EvoLinkError, now: float) -> FailedReads:
        """Add a failed read; a temporary failure contradicts no refusal."""
        updated = replace(self, reads=self.reads + 1)
        if not error.permanent:
            return updated
        if type(error) is self.refusal:
            return replace(updated, refusals=self.refusals + 1)
        return replace(updated, refusal=type(error), refused_since=now, refusals=1)


def after_failed_read(
    failures: FailedReads, error: EvoLinkError, *, timeout: float, now: float, deadline: float = math.inf
) -> float | Refused | Unanswered:
    """Decide what follows a read that failed.

    :param failures: all failed reads, this one included.
    :param timeout: seconds for which reads may fail temporarily; for refusals it is never less than
        ``CONFIRMATION_SECONDS``.
    :param deadline: when the last read takes place whatever the others were, in seconds since the epoch.
    :return: seconds until the next read, or the outcome.
    """
    seconds = now - failures.refused_since
    is_confirmed = failures.refusals >= CONFIRMING_READS and seconds >= CONFIRMATION_SECONDS
    if error.permanent and (is_confirmed or now >= deadline):
        return Refused(error, failures.refusals, seconds)
    until = failures.since + (max(timeout, CONFIRMATION_SECONDS) if error.permanent else timeout)
    left = min(until, deadline) - now
    if left <= 0:
        return Unanswered(error, failures.since)
    pause = min(_FIRST_PAUSE * 2.0 ** min(failures.reads - 1, 16), _MAX_PAUSE)
    return min(max(pause, error.retry_after or 0.0), left)


def read_until_confirmed(
    read: Callable[[], Generation], *, timeout: float, log: Any, deadline: float = math.inf
) -> Generation | Refused | Unanswered:
    """Read a generation until EvoLink reports on it, or its refusal can be trusted; blocks the thread.

    :param read: reads once; free.
    :param timeout: seconds for which reads may fail temporarily; with 0 the first such failure is the last.
    :param log: logger of the task.
    :param deadline: when the last read takes place, in seconds since the epoch.
    :raises EvoLinkError: the read can't be sent as it is, as with a connection that lacks an API key, or is missing.
    """
    failures: FailedReads | None = None
    while True:
        try:
            return read()
        except EvoLinkError as error:
            if isinstance(error, ConfigurationError) or (error.permanent and not isinstance(error, ApiError)):
                raise
            now = time.time()
            failures = (failures or FailedReads(now)).add(error, now)
            step = after_failed_read(failures, error, timeout=timeout, now=now, deadline=deadline)
            if not isinstance(step, float):
                return step
            log.warning("Reading the generation failed (%s); retrying in %.0f s.", describe_error(error), step)
        time.sleep(step)


def describe_error(error: EvoLinkError) -> str:
    """Return what EvoLink responded, without advice about what to do: the caller retries."""
    if not isinstance(error, ApiError):
        return error.facts
    status = " ".join(part for part in (f"HTTP {error.status}", error.code) if part)
    return f"{status}: {error.detail}" if error.detail else status
