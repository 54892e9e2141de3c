# SPDX-License-Identifier: Apache-2.0
"""Retry policy: how long Airflow waits before it retries a task that failed with an error of this package.

Delays have jitter, against a thundering herd of tasks that failed together.
"""

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
    """Fail on permanent errors, wait as long as EvoLink asks, and back off exponentially from all other EvoLink errors.

    :param first_delay: seconds before the first retry.
    :param longest_delay: upper limit of the back-off, in seconds; a delay that EvoLink asks for may exceed it.
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
        """Decide whether and when a failed task is retried.

        Errors of other packages are left to the task's own settings. So is every error that may pass once no retry is
        left: Airflow asks even then, and would log a retry that never comes.
        """
        if not isinstance(exception, EvoLinkError):
            return RetryDecision.default()
        reason = _reason(exception)
        if exception.permanent:
            return RetryDecision.fail(f"{reason}: permanent, a retry would fail too")
        if try_number > max_tries:
            return RetryDecision.default()
        seconds = self.delay(exception, try_number, jitter=random.random())
        return RetryDecision.retry(timedelta(seconds=seconds), f"{reason}: retry in {seconds:.0f} s")

    def delay(self, error: EvoLinkError, try_number: int, *, jitter: float) -> float:
        """Return the seconds to wait after a transient failure.

        :param try_number: number of the try that failed, from 1.
        :param jitter: random number from 0 to 1; it spreads the retries of tasks that failed together.
        """
        # A Retry-After of 0 counts as none: retrying at once would use up all retries within seconds.
        if error.retry_after:
            return error.retry_after * (1.0 + _JITTER * jitter)
        advised = advised_delay(error.code) if isinstance(error, GenerationFailedError) else 0.0
        backed_off = max(self.first_delay, advised) * 2.0 ** min(try_number - 1, 16)
        return min(backed_off, self.longest_delay) * (1.0 - _JITTER * jitter)


def evolink_retry_policy(
    *, first_delay: timedelta | float = 30.0, longest_delay: timedelta | float = 600.0
) -> EvoLinkRetryPolicy:
    """Make a ``retry_policy`` for this package's operators and for any task that calls ``EvoLinkHook``.

    Permanent errors fail the task at once. After a 429, or a 5xx with ``Retry-After``, the retry waits as long as
    EvoLink asks (at most 120 s are believed). After any other EvoLink error the delay doubles with each try, with
    jitter. The number of retries is still the task's ``retries``. Other errors are left to ``retry_delay`` and the
    like.

    Without this policy, the package's operators still fail at once on permanent errors, but every retry waits
    ``retry_delay``, whatever EvoLink asks for; and a task of your own that calls the hook retries permanent errors too.

    :param first_delay: delay before the first retry, in seconds or as a ``timedelta``; 30 s by default.
    :param longest_delay: upper limit of the back-off, in seconds or as a ``timedelta``; 600 s by default.
    :return: put it into ``default_args``, where Airflow before 3.3, which has no retry policies, ignores it; from 3.3
        on it may also be passed as ``retry_policy=`` to an operator or a ``@task``.
    :raises ValueError: a delay is not positive, or ``first_delay`` exceeds ``longest_delay``.
    """
    first, longest = _seconds(first_delay), _seconds(longest_delay)
    if not 0 < first <= longest:
        raise ValueError(
            f"Must be 0 < first_delay <= longest_delay, but first_delay={first} and longest_delay={longest}."
        )
    return EvoLinkRetryPolicy(first, longest)


def _seconds(delay: timedelta | float) -> float:
    return delay.total_seconds() if isinstance(delay, timedelta) else float(delay)


def _reason(error: EvoLinkError) -> str:
    """Name the error's class and code, without its message: Airflow stores the reason in its database."""
    code = error.code if isinstance(error, ApiError | GenerationFailedError) else None
    return f"{type(error).__name__} ({code})" if code else type(error).__name__
