# SPDX-License-Identifier: Apache-2.0
"""
Reading a generation that is paid for: a worker asks until it has an answer, or a refusal that can be believed.

Reads are free, and a refusal may come from a gateway, a replica that lags, or a key that is just being replaced. So one
of them decides nothing: several alike, over minutes, do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import ApiError, EvoLinkError
from airflow_provider_evolink.api.generation import CONFIRMATION_SECONDS

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation

# How many refusals of one kind are believed, if the first and the last lie so far apart.
CONFIRMING_READS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


@dataclass(frozen=True, slots=True)
class Refused:
    """
    EvoLink has refused to tell, each time for the same reason.

    :param error: its last refusal.
    :param times: how often in a row.
    :param seconds: from the first of them to the last.
    """

    error: EvoLinkError
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """
    EvoLink could not be asked, or its refusals contradict each other. Asking later may help.

    :param error: the last failure.
    :param since: of the first failure, in seconds since the epoch.
    """

    error: EvoLinkError
    since: float


@dataclass(frozen=True, slots=True)
class FailedReads:
    """
    What the failed reads of one generation have in common.

    :param since: of the first, in seconds since the epoch.
    :param reads: how many there were.
    :param refusal: the kind of the last refusal.
    :param refused_since: since when all refusals are of this kind.
    :param refusals: how many of them there were.
    """

    since: float
    reads: int = 0
    refusal: type[EvoLinkError] | None = None
    refused_since: float = 0.0
    refusals: int = 0

    def add(self, error: EvoLinkError, now: float) -> FailedReads:
        """Add a failed read. One that fails in passing contradicts no refusal."""
        known = replace(self, reads=self.reads + 1)
        if not error.permanent:
            return known
        if type(error) is self.refusal:
            return replace(known, refusals=self.refusals + 1)
        return replace(known, refusal=type(error), refused_since=now, refusals=1)


def after_failed_read(
    failures: FailedReads, error: EvoLinkError, *, timeout: float, now: float
) -> float | Refused | Unanswered:
    """
    Decide what follows a read that failed.

    :param failures: with this one.
    :param patience: seconds for which reads may fail in passing. Refusals get at least the time that it takes to
        believe them.
    :return: seconds until the next read, or the end.
    """
    seconds = now - failures.refused_since
    if error.permanent and failures.refusals >= CONFIRMING_READS and seconds >= CONFIRMATION_SECONDS:
        return Refused(error, failures.refusals, seconds)
    left = failures.since + (max(timeout, CONFIRMATION_SECONDS) if error.permanent else timeout) - now
    if left <= 0:
        return Unanswered(error, failures.since)
    pause = min(_FIRST_PAUSE * 2.0 ** min(failures.reads - 1, 16), _LONGEST_PAUSE)
    return min(max(pause, error.retry_after or 0.0), left)


def read_until_confirmed(
    read: Callable[[], Generation], *, timeout: float, log: Any
) -> Generation | Refused | Unanswered:
    """
    Read a generation until EvoLink answers, or its refusal can be believed; blocks this thread meanwhile.

    :param ask: reads once; free.
    :param patience: seconds for which reads may fail in passing; with 0 the first such failure ends it.
    :raises EvoLinkError: the question can't be sent as it is, as with a connection that lacks a key.
    """
    failures: FailedReads | None = None
    while True:
        try:
            return read()
        except EvoLinkError as error:
            if error.permanent and not isinstance(error, ApiError):
                raise
            now = time.time()
            failures = (failures or FailedReads(now)).add(error, now)
            decided = after_failed_read(failures, error, timeout=timeout, now=now)
            if not isinstance(decided, float):
                return decided
            log.warning("A read has failed (%s). The next one follows in %.0f s.", describe_error(error), decided)
        time.sleep(decided)


def describe_error(error: EvoLinkError) -> str:
    """What EvoLink answered, without the advice for somebody who can only try again."""
    if not isinstance(error, ApiError):
        return str(error)
    named = " ".join(part for part in (f"HTTP {error.status}", error.code) if part)
    return f"{named}: {error.detail}" if error.detail else named
