# SPDX-License-Identifier: Apache-2.0
"""How long Airflow waits before it runs a task again that has failed with an error of this package."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.error_codes import advised_delay
from airflow_provider_evolink.api.errors import ApiError, EvoLinkError, GenerationFailedError
from airflow_provider_evolink.compat import RetryDecision, RetryPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

_JITTER = 0.2


@dataclass(frozen=True)
class EvoLinkRetryPolicy(RetryPolicy):
    """
    Ends retries that can't help, waits as EvoLink asks, and backs off from everything else of EvoLink's.

    :param first_delay: seconds before the first retry.
    :param longest_delay: seconds that no retry waits longer, unless EvoLink asks for it.
    """

    first_delay: float = 30.0
    longest_delay: float = 600.0

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """
        Decide what follows a failure.

        Of an error that is not of this package, the task's own settings decide. They do as well when no retry is left:
        Airflow asks even then, and would log a retry that never comes.
        """
        if not isinstance(exception, EvoLinkError):
            return RetryDecision.default()
        reason = _named(exception)
        if exception.permanent:
            return RetryDecision.fail(f"{reason}: a retry can't mend it")
        if try_number > max_tries:
            return RetryDecision.default()
        seconds = self.delay(exception, try_number, jitter=random.random())
        return RetryDecision.retry(timedelta(seconds=seconds), f"{reason}: again in {seconds:.0f} s")

    def delay(self, error: EvoLinkError, try_number: int, *, jitter: float) -> float:
        """
        Seconds to wait after a failure that may pass.

        :param try_number: of the try that has failed, from 1.
        :param chance: a random number from 0 to 1, so that tasks that failed together don't come back together.
        """
        # A zero names no time: to come back at once would use up all retries within seconds.
        if error.retry_after:
            return error.retry_after * (1.0 + _JITTER * jitter)
        advised = advised_delay(error.code) if isinstance(error, GenerationFailedError) else 0.0
        backed_off = max(self.first_delay, advised) * 2.0 ** min(try_number - 1, 16)
        return min(backed_off, self.longest_delay) * (1.0 - _JITTER * jitter)


def evolink_retry_policy(
    *, first_delay: timedelta | float = 30.0, longest_delay: timedelta | float = 600.0
) -> EvoLinkRetryPolicy:
    """
    Make a ``retry_policy`` for tasks of this package, and for any task that calls ``EvoLinkHook``.

    Errors that no retry can mend fail the task at once; after a 429, or a 5xx that says when, the retry waits as long
    as EvoLink asks (``Retry-After``, at most 120 s are believed); after everything else it backs off, twice as long
    each time, with jitter. The number of retries is still the task's ``retries``. Other errors are left to
    ``retry_delay`` and its like.

    Without it, this package's operators end a task at once too when no retry can help, but every retry waits
    ``retry_delay``, whatever EvoLink asks; and a task of your own that calls the hook retries permanent errors too.

    :param first_delay: seconds, or a ``timedelta``, before the first retry.
    :param longest_delay: seconds, or a ``timedelta``, that no retry waits longer by itself.
    :return: give it as ``retry_policy=`` to an operator, a ``@task``, or in ``default_args``. Airflow 3.3 or later.
    :raises ValueError: a delay is not positive, or the first is longer than the longest.
    """
    first, longest = _seconds(first_delay), _seconds(longest_delay)
    if not 0 < first <= longest:
        raise ValueError(
            f"0 < first_delay <= longest_delay is needed, not first_delay={first}, longest_delay={longest}"
        )
    return EvoLinkRetryPolicy(first, longest)


def _seconds(delay: timedelta | float) -> float:
    return delay.total_seconds() if isinstance(delay, timedelta) else float(delay)


def _named(error: EvoLinkError) -> str:
    """The kind of a failure without its text, since it is kept in Airflow's database."""
    code = error.code if isinstance(error, ApiError | GenerationFailedError) else None
    return f"{type(error).__name__} ({code})" if code else type(error).__name__
