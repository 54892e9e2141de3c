# SPDX-License-Identifier: Apache-2.0
"""Rate limit of status queries per API key: a sliding window over one emulated minute."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.state.clock import Clock

MINUTE = 60.0


class QueryLimit:
    """Limit the status queries of each API key per emulated minute; a batch counts as one query.

    A client that polls ten times as often of an emulator at ten times the speed is limited as EvoLink would limit it.
    Its ``Retry-After`` is in real seconds, like everything that a client receives.

    :param clock: emulated time.
    :param per_minute: requests; None for no limit.
    """

    def __init__(self, clock: Clock, per_minute: int | None) -> None:
        self.per_minute = per_minute
        self.rejected = 0
        self._clock = clock
        self._accepted: defaultdict[str, deque[float]] = defaultdict(deque)

    def acquire(self, api_key: str) -> None:
        """Count a request against the limit.

        :param api_key: API key of the request.
        :raises ApiError: 429 (documented); a rejected request does not count.
        """
        if self.per_minute is None:
            return
        now, accepted = self._clock.now(), self._accepted[api_key]
        while accepted and accepted[0] <= now - MINUTE:
            accepted.popleft()
        if len(accepted) >= self.per_minute:
            self.rejected += 1
            raise _error(self.per_minute, (accepted[-self.per_minute] + MINUTE - now) / self._clock.speed)
        accepted.append(now)


def _error(per_minute: int, wait: float) -> ApiError:
    seconds = max(math.ceil(wait), 1)
    return ApiError(
        429,
        message=f"max {per_minute} requests per 1 minutes. Retry after {seconds} seconds.",
        type="rate_limit_error",
        param=None,
        retry_after=seconds,
        retryable=True,
    )
