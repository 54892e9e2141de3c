# SPDX-License-Identifier: Apache-2.0
"""
How fast one account may be asked: just below its limit.

EvoLink documents that there is one, with 60 requests a minute as an example. That is kept at first, unless a crowd
would have to wait for long: whoever uses a limit up in a moment can't ask for the rest of the minute. A 429 shows the
real one: how many were answered lately, and when requests will pass again, tell it, whatever its kind: fixed windows, a
sliding window or a token bucket. A limit is approached again from time to time, since it may have been raised, or never
have been there, and since others may share it.

Pure but for what it remembers: the time comes in as an argument.
"""

from __future__ import annotations

import math
from collections import deque

FASTEST, SLOWEST = 1000.0, 1 / 60
DOCUMENTED = 1.0
_BURST, _ASSUMED_BURST = 8.0, 3.0
# An assumed limit that would keep a request waiting for longer is not kept: whether it is there will be seen.
_BEARABLE_SECONDS = 30.0
# Those who have to wait go together, as many as have a place by then: to wake up for each costs more than the request.
_TOGETHER_SECONDS = 0.05
# The share of a limit that is used, and the one that may be used at once.
_SHARE, _BURST_SHARE = 0.95, 0.025
# Limits are taken to be set for a minute at most. Fewer answers than these tell little about a limit.
_WINDOW_SECONDS, _FEWEST = 60.0, 5
# Seconds until a limit is approached again: twice as many each time that it is still there.
_FIRST_HOLD, _LONGEST_HOLD = 30.0, 240.0
# How much each answer adds to the rate then, so that it grows by that share in a second: slowly where the limit was,
# and quickly beyond, where it is no more.
_SLOWLY, _QUICKLY, _BEYOND = 0.0025, 0.05, 1.5
# The pause after a 429 that does not say how long: twice as long each time that nothing has passed meanwhile.
_FIRST_PAUSE, _LONGEST_PAUSE, _SHORTEST_PAUSE = 2.0, 60.0, 0.5
# How many a second go after a pause, until one is answered.
_PROBES = 1.0
_ROUNDING = 1e-9


class RateLimiter:
    """
    Tells when the next request may go.

    :param fastest: how many a second, at most.
    :param assumed: how many a second at first, until more have passed.
    """

    def __init__(self, fastest: float = FASTEST, assumed: float | None = None) -> None:
        self._fastest = fastest
        self._limit = assumed
        self._is_assumed = assumed is not None
        self.rate = self._rate_before = fastest if assumed is None else _SHARE * assumed
        self._burst = _BURST if assumed is None else _ASSUMED_BURST
        self._was_learned = False
        self._next = 0.0
        self._paused_until = 0.0
        # Those of the last minute, and when requests have last passed after a pause; before they do, that is unknown.
        self._answers: deque[float] = deque()
        self._resumed_at: float | None = -math.inf
        self._passing_since = -math.inf
        # Whether a pause has ended and no answer has come since: then few go, to see whether they pass.
        self._is_probing = False
        self._held_until: float | None = None
        self._hold = _FIRST_HOLD
        # How many 429 in a row have come before any answer.
        self._in_vain = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit, as far as is known."""
        return self._limit is not None

    def note_demand(self, requests: float) -> None:
        """Take note of how many are waiting: a crowd finds out whether a limit that was only assumed is there."""
        if self._is_assumed and requests > _BEARABLE_SECONDS * self.rate:
            self._forget_limit()

    def reserve(self, now: float) -> float:
        """Take the next place if it is free now, and return 0; else return the seconds after which to try again."""
        place = self._place(now)
        wait = max(place, self._paused_until) - now
        if wait > _ROUNDING:
            return max(wait, _TOGETHER_SECONDS)
        self._next = place
        if self._resumed_at is None:
            self._resumed_at, self._is_probing = now, True
        return 0.0

    def try_acquire(self, now: float) -> bool:
        """Take the next place if it is free now, and tell whether it was."""
        return self.reserve(now) == 0.0

    def _place(self, now: float) -> float:
        is_probing = self._is_probing or self._resumed_at is None
        rate, burst = (min(self.rate, _PROBES), 1.0) if is_probing else (self.rate, self._burst)
        return max(self._next, now - max(burst / rate, _TOGETHER_SECONDS)) + 1.0 / rate

    def on_response(self, now: float) -> None:
        """After an answer: count it, and go faster if a limit has been kept for long enough."""
        self._answers.append(now)
        self._is_probing = False
        self._forget_before(now - _WINDOW_SECONDS)
        if self._held_until is None:
            self._held_until = now + _WINDOW_SECONDS
        if self._limit is not None and now >= self._held_until:
            self._approach(self._limit)

    def _forget_before(self, moment: float) -> None:
        while self._answers and self._answers[0] < moment:
            self._answers.popleft()

    def _approach(self, limit: float) -> None:
        is_beyond = self.rate > _BEYOND * limit
        self.rate += _QUICKLY if is_beyond else _SLOWLY
        if is_beyond:
            self._hold = _FIRST_HOLD
        if self.rate >= self._fastest:
            self._forget_limit()

    def _forget_limit(self) -> None:
        self.rate, self._limit, self._burst, self._is_assumed = self._fastest, None, _BURST, False

    def pause(self, now: float, seconds: float) -> None:
        """Let nobody go for a while, as EvoLink has asked."""
        self._paused_until = max(self._paused_until, now + seconds)

    def on_rate_limited(self, now: float, retry_after: float | None) -> bool:
        """
        After a 429: pause for everybody, then keep below the limit that it shows; once for one crowd.

        :param retry_after: seconds to pause, if EvoLink has said so.
        :return: whether it is the first of its crowd.
        """
        self._forget_before(now - _WINDOW_SECONDS)
        is_first = now >= self._paused_until
        if is_first:
            self._begin_pause(now, retry_after)
        self.pause(now, retry_after or 0.0)
        self._learn()
        return is_first

    def _begin_pause(self, now: float, retry_after: float | None) -> None:
        self._rate_before, self._was_learned = self.rate, self.is_limited and not self._is_assumed
        self._is_assumed = False
        self._passing_since = -math.inf if self._resumed_at is None else self._resumed_at
        passed = self._passed()
        self._in_vain = 0 if passed else self._in_vain + 1
        has_retry_after = retry_after is not None and passed
        self.pause(now, _SHORTEST_PAUSE if has_retry_after else min(_FIRST_PAUSE * 2.0**self._in_vain, _LONGEST_PAUSE))
        self._held_until, self._hold = self._paused_until + self._hold, min(2 * self._hold, _LONGEST_HOLD)
        self._resumed_at = None

    def _learn(self) -> None:
        """Reckon the limit from the answers between two pauses; what arrives during the second makes it more exact."""
        passed = self._passed()
        if not passed:
            # Within a minute that only says that the pause was too short.
            self.rate = self._rate_before if self._answers else max(self._rate_before / 2, SLOWEST)
            return
        seconds = min(self._paused_until - passed[0], _WINDOW_SECONDS)
        # What has passed in a minute that had a pause in it shows a limit that is not lower than that.
        limit = max(max(len(passed), _FEWEST) / seconds, len(self._answers) / _WINDOW_SECONDS)
        self.rate = self._kept(limit)
        self._limit = self.rate / _SHARE
        self._burst = max(_BURST_SHARE * self._limit * seconds, 1.0)

    def _passed(self) -> list[float]:
        """The answers since requests have last passed after a pause."""
        return [at for at in self._answers if at > self._passing_since]

    def _kept(self, limit: float) -> float:
        """Which rate keeps a limit: one that was learned before is not given up for a single crowd's."""
        if not self._was_learned:
            return min(_SHARE * limit, self._rate_before)
        return max(min(_SHARE * limit, _SHARE * self._rate_before), self._rate_before / 2, SLOWEST)
