# SPDX-License-Identifier: Apache-2.0
"""How often one key may ask about generations."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from airflow_provider_evolink.emulator.clock import Clock
from airflow_provider_evolink.emulator.refusals import RefusedError

MINUTE = 60.0


class QueryLimit:
    """Lets each key ask so often in any emulated minute, whether about one generation or about many at once.

    A client that asks ten times as fast of an emulator that runs at ten times the real pace is treated as EvoLink
    treats it. What it is told to wait is in its own seconds, as all that it is told is.

    :param clock: emulated time.
    :param per_minute: requests; None for no limit.
    """

    def __init__(self, clock: Clock, per_minute: int | None) -> None:
        self.per_minute = per_minute
        self.refused = 0
        self._clock = clock
        self._passed: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, key: str) -> None:
        """Let a request pass.

        :param key: whose it is.
        :raises RefusedError: 429 (documented); it does not count.
        """
        if self.per_minute is None:
            return
        now, passed = self._clock.now(), self._passed[key]
        while passed and passed[0] <= now - MINUTE:
            passed.popleft()
        if len(passed) >= self.per_minute:
            self.refused += 1
            raise _refusal(self.per_minute, (passed[-self.per_minute] + MINUTE - now) / self._clock.factor)
        passed.append(now)


def _refusal(per_minute: int, wait: float) -> RefusedError:
    seconds = max(math.ceil(wait), 1)
    return RefusedError(
        429,
        message=f"max {per_minute} requests per 1 minutes. Retry after {seconds} seconds.",
        type="rate_limit_error",
        param=None,
        retry_after=seconds,
        retryable=True,
    )
