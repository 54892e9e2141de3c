# SPDX-License-Identifier: Apache-2.0
"""The rate limiter allows any rate at first, and keeps just below the limit once EvoLink shows one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from airflow_provider_evolink.polling.rate_limiter import MAX_RATE, MIN_RATE, RateLimiter
from tests.limiters import KINDS, FixedWindows, Limiter, Unlimited

LATENCY = 0.2
MAX_IN_FLIGHT = 128
RetryAfter = Callable[[float], float | None]


def exact(seconds: float) -> float:
    """Return whole seconds, rounded up, as the header has them."""
    return float(math.ceil(seconds))


def rounded_down(seconds: float) -> float:
    """Return too few seconds, as a service whose clock is a second ahead."""
    return float(math.floor(seconds))


def always_thirty(seconds: float) -> float:
    """Return the documented example, whatever the truth is."""
    return 30.0


def absent(seconds: float) -> None:
    """Return no Retry-After."""


@dataclass
class Run:
    """The times of the requests that passed, and of those that got a 429."""

    passed: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)

    def between(self, start: float, end: float) -> tuple[int, int]:
        """Return how many requests passed and how many got a 429 in a span of time."""
        return tuple(sum(start <= time < end for time in times) for times in (self.passed, self.rejected))  # type: ignore[return-value]


def simulate(
    limits: list[tuple[float, Limiter]],
    seconds: float,
    *,
    header: RetryAfter = exact,
    rate_limiter: RateLimiter | None = None,
) -> Run:
    """Send requests as fast as the rate limiter allows.

    :param limits: the service's limiters, each with the time from which it applies.
    :param header: makes the Retry-After from the seconds until a request would pass.
    """
    rate_limiter, run = rate_limiter or RateLimiter(), Run()
    responses: list[tuple[float, bool, float | None]] = []
    now = 0.0
    while now < seconds:
        pause = LATENCY if len(responses) >= MAX_IN_FLIGHT else rate_limiter.reserve(now)
        if pause == 0.0:
            wait = [limiter for since, limiter in limits if now + LATENCY / 2 >= since][-1].take(now + LATENCY / 2)
            (run.passed if wait is None else run.rejected).append(now)
            heapq.heappush(responses, (now + LATENCY, wait is None, None if wait is None else header(wait)))
        until = now + pause
        while responses and responses[0][0] <= until:
            now, has_passed, retry_after = heapq.heappop(responses)
            rate_limiter.on_response(now) if has_passed else rate_limiter.on_rate_limited(now, retry_after)
        now = max(now, until)
    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [10, 60, 600])
@pytest.mark.parametrize("header", [exact, rounded_down, always_thirty, absent])
def test_any_limit_is_learned(kind: type[FixedWindows], limit: int, header: RetryAfter) -> None:
    """After five minutes most of what the limit allows is used, and few requests get a 429."""
    run = simulate([(0.0, kind(limit))], 1800.0, header=header)

    passed, rejected = run.between(300.0, 1800.0)
    assert passed >= 0.75 * limit * 25
    # Without Retry-After, the length of the pause has to be found out each time.
    assert rejected <= max(0.03 * passed, 70 if header is absent else 15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "seconds"), [(1, 1.0), (10, 1.0), (5, 10.0)])
def test_limits_over_short_windows_are_learned(kind: type[FixedWindows], limit: int, seconds: float) -> None:
    """A limit that counts over one or ten seconds is learned, too."""
    run = simulate([(0.0, kind(limit, seconds))], 900.0)

    passed, rejected = run.between(300.0, 900.0)
    assert passed >= 0.5 * limit / seconds * 600
    assert rejected <= 0.05 * passed


@pytest.mark.parametrize("kind", KINDS)
def test_learning_costs_one_crowd(kind: type[FixedWindows]) -> None:
    """Little more than the requests in flight gets a 429 before the limit is known."""
    passed, rejected = simulate([(0.0, kind(60))], 120.0).between(0.0, 120.0)

    assert rejected <= MAX_IN_FLIGHT + 10
    assert passed >= 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_that_is_lifted_is_forgotten(kind: type[FixedWindows]) -> None:
    """Ten minutes after the limit is lifted, requests are as fast as at first."""
    rate_limiter = RateLimiter()
    simulate([(0.0, kind(60)), (1200.0, Unlimited())], 1800.0, rate_limiter=rate_limiter)

    assert not rate_limiter.is_limited
    assert rate_limiter.rate == MAX_RATE


def test_a_limit_that_is_lowered_is_kept() -> None:
    """A limit that drops from ten a second to one in six seconds is kept after five minutes."""
    run = simulate([(0.0, FixedWindows(600)), (600.0, FixedWindows(10))], 1800.0)

    passed, rejected = run.between(900.0, 1800.0)
    assert passed >= 0.7 * 150
    assert rejected <= 15


def test_two_rate_limiters_share_a_limit() -> None:
    """Two rate limiters under one limit use most of it together, and neither starves."""
    limiter = FixedWindows(60)
    rate_limiters, runs = [RateLimiter(), RateLimiter()], [Run(), Run()]
    now = 0.0
    while now < 1800.0:
        for rate_limiter, run in zip(rate_limiters, runs, strict=True):
            if rate_limiter.reserve(now) == 0.0:
                wait = limiter.take(now)
                (run.passed if wait is None else run.rejected).append(now)
                rate_limiter.on_response(now) if wait is None else rate_limiter.on_rate_limited(now, exact(wait))
        now += 0.05

    shares = [run.between(300.0, 1800.0) for run in runs]
    assert sum(passed for passed, _ in shares) >= 0.7 * 1500
    assert min(passed for passed, _ in shares) >= 0.2 * 1500
    assert sum(rejected for _, rejected in shares) <= 60


def test_a_burst_is_followed_by_the_rate() -> None:
    """A few requests go at once, the next ones at the rate, and after a rest a burst is possible again."""
    rate_limiter = RateLimiter(max_rate=10.0)

    assert [rate_limiter.reserve(100.0) for _ in range(8)] == [0.0] * 8
    assert rate_limiter.reserve(100.0) == pytest.approx(0.1)
    assert rate_limiter.reserve(100.1) == 0.0
    assert rate_limiter.reserve(100.1) == pytest.approx(0.1)
    assert rate_limiter.reserve(200.0) == 0.0


def test_a_pause_ends_with_a_single_probe() -> None:
    """No request is sent during a pause, and after it a single one, in case it is still too early."""
    rate_limiter = RateLimiter()
    for number in range(1000):
        rate_limiter.on_response(90.0 + number / 100)
    for _ in range(20):
        rate_limiter.on_rate_limited(100.0, 7.0)

    assert rate_limiter.reserve(101.0) == pytest.approx(6.0)
    assert rate_limiter.reserve(107.0) == 0.0
    assert rate_limiter.reserve(107.0) == pytest.approx(1.0)
    rate_limiter.on_response(107.1)
    assert rate_limiter.reserve(107.2) < 0.1


def test_a_pause_for_an_outage_sets_no_limit() -> None:
    """A pause that a 5xx demands is kept, and does not change the rate."""
    rate_limiter = RateLimiter()
    rate_limiter.pause(100.0, 7.0)

    assert rate_limiter.reserve(101.0) == pytest.approx(6.0)
    assert (rate_limiter.rate, rate_limiter.is_limited) == (MAX_RATE, False)


def test_requests_never_stop_for_good() -> None:
    """If every request gets a 429, a single one is still sent at least once a minute."""
    rate_limiter, now, sent = RateLimiter(), 0.0, []
    while now < 7200.0:
        pause = rate_limiter.reserve(now)
        if pause == 0.0:
            sent.append(now)
            rate_limiter.on_rate_limited(now, None)
        now += pause

    assert max(later - earlier for earlier, later in pairwise(sent)) <= 1 / MIN_RATE + 0.1
    assert len(sent) <= 130


def test_try_acquire_takes_a_token_only_if_there_is_one() -> None:
    """A failed ``try_acquire`` takes no token from later calls."""
    rate_limiter = RateLimiter(max_rate=5.0)
    acquired = [rate_limiter.try_acquire(100.0) for _ in range(100)]

    assert sum(acquired) == 8
    assert rate_limiter.try_acquire(100.21)


def test_waiting_requests_are_sent_together() -> None:
    """At a high rate no wake-up is for a single request: all that have a token by then are sent, and no more."""
    rate_limiter, now, sent = RateLimiter(max_rate=1000.0), 100.0, 0
    pauses = 0
    while now < 101.0:
        pause = rate_limiter.reserve(now)
        now, sent, pauses = now + pause, sent + (pause == 0), pauses + (pause > 0)

    assert sent <= 1000 + 2 * 50
    assert sent >= 950
    assert pauses <= 21
