# SPDX-License-Identifier: Apache-2.0
"""Limit how fast one account is polled: a token bucket whose rate follows AIMD, to stay just below EvoLink's limit.

EvoLink documents that there is a limit, with 60 requests a minute as an example. That is assumed at first, unless a
crowd would have to wait for long: a client that uses a limit up at once can't poll for the rest of the minute. A 429
shows the real limit, through the number of recent responses and the time at which requests pass again, whether EvoLink
counts in fixed windows, in a sliding window or with a token bucket. The rate drops below it (multiplicative decrease).
From time to time it grows with each response (additive increase), since the limit may have been raised, may never have
existed, and may be shared with others.

Pure but for its own state: the time comes in as an argument, in seconds on a monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque

# Requests per second.
MAX_RATE, MIN_RATE, DOCUMENTED_RATE = 1000.0, 1 / 60, 1.0
# Tokens of the bucket: without a known limit, and under an assumed one.
_DEFAULT_BURST, _ASSUMED_BURST = 8.0, 3.0
# An assumed limit under which a request would wait longer is dropped: a 429 will show whether it exists.
_MAX_ASSUMED_WAIT = 30.0
# Requests that have to wait are sent together, as many as have tokens by then: each wake-up costs more than a request.
_MIN_SLEEP = 0.05
# The share of a limit that is used, and the share that may be used at once.
_RATE_SHARE, _BURST_SHARE = 0.95, 0.025
# Limits are assumed to count over a minute at most; fewer responses than these show little about a limit.
_WINDOW_SECONDS, _MIN_SAMPLES = 60.0, 5
# Seconds until the rate grows again: doubled each time that the limit is still there.
_FIRST_INCREASE_DELAY, _MAX_INCREASE_DELAY = 30.0, 240.0
# What each response then adds to the rate, so that it grows by that share per second: slowly around the limit, and fast
# from this multiple of it on, where the limit evidently no longer exists.
_SLOW_INCREASE, _FAST_INCREASE, _FAST_INCREASE_FROM = 0.0025, 0.05, 1.5
# Seconds of a pause after a 429 without Retry-After: doubled each time that nothing has passed since the last one; and
# the minimum with Retry-After.
_FIRST_PAUSE, _MAX_PAUSE, _MIN_PAUSE = 2.0, 60.0, 0.5
# Requests per second after a pause, until there is a response.
_PROBE_RATE = 1.0
_EPSILON = 1e-9


class RateLimiter:
    """Decide when the next request may be sent.

    :param max_rate: requests per second, at most.
    :param assumed_limit: requests per second that are taken for EvoLink's limit at first; ``None`` = no limit.
    """

    def __init__(self, max_rate: float = MAX_RATE, assumed_limit: float | None = None) -> None:
        self._max_rate = max_rate
        self._limit = assumed_limit
        self._is_assumed = assumed_limit is not None
        self.rate = self._rate_before_pause = max_rate if assumed_limit is None else _RATE_SHARE * assumed_limit
        self._burst = _DEFAULT_BURST if assumed_limit is None else _ASSUMED_BURST
        self._was_measured = False
        self._last_slot = 0.0
        self._paused_until = 0.0
        # The times of the last minute's responses.
        self._responses: deque[float] = deque()
        # When requests were resumed after the last pause; None until then.
        self._resumed_at: float | None = -math.inf
        # The same before the last pause began: responses since then show the limit.
        self._passing_since = -math.inf
        # Whether requests were resumed and none has a response yet: few are sent, to find out whether they pass.
        self._is_probing = False
        self._increase_from: float | None = None
        self._increase_delay = _FIRST_INCREASE_DELAY
        # Pauses in a row without a response between them.
        self._consecutive_429s = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit, as far as is known."""
        return self._limit is not None

    def note_demand(self, requests: float) -> None:
        """Take note of how many requests are due: a crowd drops an assumed limit, to find out whether it exists."""
        if self._is_assumed and requests > _MAX_ASSUMED_WAIT * self.rate:
            self._drop_limit()

    def reserve(self, now: float) -> float:
        """Take a token and return 0 if there is one now; else return the seconds after which to try again."""
        slot = self._next_slot(now)
        wait = max(slot, self._paused_until) - now
        if wait > _EPSILON:
            return max(wait, _MIN_SLEEP)
        self._last_slot = slot
        if self._resumed_at is None:
            self._resumed_at, self._is_probing = now, True
        return 0.0

    def try_acquire(self, now: float) -> bool:
        """Take a token if there is one now, and return whether there was."""
        return self.reserve(now) == 0.0

    def on_response(self, now: float) -> None:
        """Count a response, and raise the rate if the limit has been kept for long enough."""
        self._responses.append(now)
        self._is_probing = False
        self._drop_responses_before(now - _WINDOW_SECONDS)
        if self._increase_from is None:
            self._increase_from = now + _WINDOW_SECONDS
        if self._limit is not None and now >= self._increase_from:
            self._increase_rate(self._limit)

    def pause(self, now: float, seconds: float) -> None:
        """Send nothing for a while, as EvoLink has asked."""
        self._paused_until = max(self._paused_until, now + seconds)

    def on_rate_limited(self, now: float, retry_after: float | None) -> bool:
        """Pause after a 429, and lower the rate below the limit that it shows: once, however many arrive together.

        :param retry_after: seconds to pause, if EvoLink gave them.
        :return: whether this is the first 429 since the last pause ended.
        """
        self._drop_responses_before(now - _WINDOW_SECONDS)
        is_first = now >= self._paused_until
        if is_first:
            self._begin_pause(now, retry_after)
        self.pause(now, retry_after or 0.0)
        self._measure_limit()
        return is_first

    def _next_slot(self, now: float) -> float:
        """Return the time of the next token: a token bucket by virtual scheduling, without a count of tokens."""
        is_probing = self._is_probing or self._resumed_at is None
        rate, burst = (min(self.rate, _PROBE_RATE), 1.0) if is_probing else (self.rate, self._burst)
        return max(self._last_slot, now - max(burst / rate, _MIN_SLEEP)) + 1.0 / rate

    def _drop_responses_before(self, start: float) -> None:
        while self._responses and self._responses[0] < start:
            self._responses.popleft()

    def _increase_rate(self, limit: float) -> None:
        is_limit_gone = self.rate > _FAST_INCREASE_FROM * limit
        self.rate += _FAST_INCREASE if is_limit_gone else _SLOW_INCREASE
        if is_limit_gone:
            self._increase_delay = _FIRST_INCREASE_DELAY
        if self.rate >= self._max_rate:
            self._drop_limit()

    def _drop_limit(self) -> None:
        self.rate, self._limit, self._burst, self._is_assumed = self._max_rate, None, _DEFAULT_BURST, False

    def _begin_pause(self, now: float, retry_after: float | None) -> None:
        self._rate_before_pause, self._was_measured = self.rate, self.is_limited and not self._is_assumed
        self._is_assumed = False
        self._passing_since = -math.inf if self._resumed_at is None else self._resumed_at
        has_passed = bool(self._passed_responses())
        self._consecutive_429s = 0 if has_passed else self._consecutive_429s + 1
        back_off = min(_FIRST_PAUSE * 2.0**self._consecutive_429s, _MAX_PAUSE)
        self.pause(now, _MIN_PAUSE if retry_after is not None and has_passed else back_off)
        self._increase_from = self._paused_until + self._increase_delay
        self._increase_delay = min(2 * self._increase_delay, _MAX_INCREASE_DELAY)
        self._resumed_at = None

    def _measure_limit(self) -> None:
        """Compute the limit from the responses between two pauses; more 429s during the second make it more exact."""
        passed = self._passed_responses()
        if not passed:
            # Within a minute of a response this only shows that the pause was too short.
            self.rate = self._rate_before_pause if self._responses else max(self._rate_before_pause / 2, MIN_RATE)
            return
        seconds = min(self._paused_until - passed[0], _WINDOW_SECONDS)
        # The limit is no lower than what the last minute has let pass, even with a pause in it.
        limit = max(max(len(passed), _MIN_SAMPLES) / seconds, len(self._responses) / _WINDOW_SECONDS)
        self.rate = self._lowered_rate(limit)
        self._limit = self.rate / _RATE_SHARE
        self._burst = max(_BURST_SHARE * self._limit * seconds, 1.0)

    def _passed_responses(self) -> list[float]:
        """Return the times of the responses that show the limit."""
        return [time for time in self._responses if time > self._passing_since]

    def _lowered_rate(self, limit: float) -> float:
        """Return the rate that keeps a limit; below one measured before it drops by half at most for each pause."""
        if not self._was_measured:
            return min(_RATE_SHARE * limit, self._rate_before_pause)
        share = _RATE_SHARE * min(limit, self._rate_before_pause)
        return max(share, self._rate_before_pause / 2, MIN_RATE)
