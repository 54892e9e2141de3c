"""How fast may be asked: as fast as anybody wants at first, and just below the limit when EvoLink shows one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from airflow_provider_evolink.polling.rate_limiter import FASTEST, SLOWEST, RateLimiter
from tests.limiters import KINDS, FixedWindows, Limiter, Unlimited

LATENCY = 0.2
MOST_IN_FLIGHT = 128
Hint = Callable[[float], float | None]


def exact(seconds: float) -> float:
    """As the header has it: whole seconds, rounded up."""
    return float(math.ceil(seconds))


def rounded_down(seconds: float) -> float:
    """A service whose clock is a second ahead."""
    return float(math.floor(seconds))


def always_thirty(seconds: float) -> float:
    """The documented example, whatever is true."""
    return 30.0


def nothing(seconds: float) -> None:
    """It does not say."""


@dataclass
class Run:
    """When requests passed, and when they were turned away."""

    passed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def between(self, start: float, end: float) -> tuple[int, int]:
        """How many passed and how many were turned away in a span of time."""
        return tuple(sum(start <= at < end for at in all_) for all_ in (self.passed, self.refused))  # type: ignore[return-value]


def simulate(
    limits: list[tuple[float, Limiter]], seconds: float, *, hint: Hint = exact, throttle: RateLimiter | None = None
) -> Run:
    """
    Let a crowd that always has more to ask ask as fast as the throttle lets it.

    :param limits: the service's limiters, each with the moment from which it holds.
    """
    throttle, run = throttle or RateLimiter(), Run()
    answers: list[tuple[float, bool, float | None]] = []
    now = 0.0
    while now < seconds:
        pause = LATENCY if len(answers) >= MOST_IN_FLIGHT else throttle.reserve(now)
        if pause == 0.0:
            wait = [limiter for since, limiter in limits if now + LATENCY / 2 >= since][-1].take(now + LATENCY / 2)
            (run.passed if wait is None else run.refused).append(now)
            heapq.heappush(answers, (now + LATENCY, wait is None, None if wait is None else hint(wait)))
        until = now + pause
        while answers and answers[0][0] <= until:
            now, has_passed, retry_after = heapq.heappop(answers)
            throttle.on_response(now) if has_passed else throttle.on_rate_limited(now, retry_after)
        now = max(now, until)
    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [10, 60, 600])
@pytest.mark.parametrize("hint", [exact, rounded_down, always_thirty, nothing])
def test_any_limit_is_learned(kind: type[FixedWindows], limit: int, hint: Hint) -> None:
    """After five minutes nearly all that the limit allows is used, and hardly anything is turned away."""
    run = simulate([(0.0, kind(limit))], 1800.0, hint=hint)

    passed, refused = run.between(300.0, 1800.0)
    assert passed >= 0.75 * limit * 25
    # Where it does not say how long to wait, that has to be found out each time.
    assert refused <= max(0.03 * passed, 70 if hint is nothing else 15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "seconds"), [(1, 1.0), (10, 1.0), (5, 10.0)])
def test_limits_of_a_second_are_learned(kind: type[FixedWindows], limit: int, seconds: float) -> None:
    """A limit may be set for less than a minute."""
    run = simulate([(0.0, kind(limit, seconds))], 900.0)

    passed, refused = run.between(300.0, 900.0)
    assert passed >= 0.5 * limit / seconds * 600
    assert refused <= 0.05 * passed


@pytest.mark.parametrize("kind", KINDS)
def test_learning_takes_one_crowd(kind: type[FixedWindows]) -> None:
    """What is turned away before the limit is known is little more than what was under way."""
    passed, refused = simulate([(0.0, kind(60))], 120.0).between(0.0, 120.0)

    assert refused <= MOST_IN_FLIGHT + 10
    assert passed >= 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_that_is_lifted_is_forgotten(kind: type[FixedWindows]) -> None:
    """Ten minutes after there is no limit any more, requests are as fast as at first."""
    throttle = RateLimiter()
    simulate([(0.0, kind(60)), (1200.0, Unlimited())], 1800.0, throttle=throttle)

    assert not throttle.is_limited
    assert throttle.rate == FASTEST


def test_a_limit_that_is_lowered_is_kept() -> None:
    """From ten a second to one in six seconds."""
    run = simulate([(0.0, FixedWindows(600)), (600.0, FixedWindows(10))], 1800.0)

    passed, refused = run.between(900.0, 1800.0)
    assert passed >= 0.7 * 150
    assert refused <= 15


def test_what_others_use_is_left_to_them() -> None:
    """Two that share a limit use it together, and neither starves."""
    limiter = FixedWindows(60)
    throttles, runs = [RateLimiter(), RateLimiter()], [Run(), Run()]
    now = 0.0
    while now < 1800.0:
        for throttle, run in zip(throttles, runs, strict=True):
            if throttle.reserve(now) == 0.0:
                wait = limiter.take(now)
                (run.passed if wait is None else run.refused).append(now)
                throttle.on_response(now) if wait is None else throttle.on_rate_limited(now, exact(wait))
        now += 0.05

    shares = [run.between(300.0, 1800.0) for run in runs]
    assert sum(passed for passed, _ in shares) >= 0.7 * 1500
    assert min(passed for passed, _ in shares) >= 0.2 * 1500
    assert sum(refused for _, refused in shares) <= 60


def test_a_burst_and_then_the_rate() -> None:
    """A few go at once, the others one by one; who waited long may go at once again."""
    throttle = RateLimiter(fastest=10.0)

    assert [throttle.reserve(100.0) for _ in range(8)] == [0.0] * 8
    assert throttle.reserve(100.0) == pytest.approx(0.1)
    assert throttle.reserve(100.1) == 0.0
    assert throttle.reserve(100.1) == pytest.approx(0.1)
    assert throttle.reserve(200.0) == 0.0


def test_a_pause_holds_for_everybody_and_ends_with_one() -> None:
    """Nobody goes before it has ended, and then one goes first: it may still be too early."""
    throttle = RateLimiter()
    for number in range(1000):
        throttle.on_response(90.0 + number / 100)
    for _ in range(20):
        throttle.on_rate_limited(100.0, 7.0)

    assert throttle.reserve(101.0) == pytest.approx(6.0)
    assert throttle.reserve(107.0) == 0.0
    assert throttle.reserve(107.0) == pytest.approx(1.0)
    throttle.on_response(107.1)
    assert throttle.reserve(107.2) < 0.1


def test_a_pause_without_a_limit_teaches_none() -> None:
    """A 5xx that asks for a pause is given it, and says nothing about how fast may be asked."""
    throttle = RateLimiter()
    throttle.pause(100.0, 7.0)

    assert throttle.reserve(101.0) == pytest.approx(6.0)
    assert (throttle.rate, throttle.is_limited) == (FASTEST, False)


def test_it_never_stops() -> None:
    """However often nothing passes, something is tried: within a minute of the last time, and one at a time."""
    throttle, now, tried = RateLimiter(), 0.0, []
    while now < 7200.0:
        pause = throttle.reserve(now)
        if pause == 0.0:
            tried.append(now)
            throttle.on_rate_limited(now, None)
        now += pause

    assert max(later - earlier for earlier, later in pairwise(tried)) <= 1 / SLOWEST + 0.1
    assert len(tried) <= 130


def test_a_budget_admits_only_what_is_free_now() -> None:
    """Who is not admitted takes no place."""
    lines = RateLimiter(fastest=5.0)
    told = [lines.try_acquire(100.0) for _ in range(100)]

    assert sum(told) == 8
    assert lines.try_acquire(100.21)


def test_who_has_to_wait_goes_together() -> None:
    """At a high rate nobody is woken for a single place: all that have one by then go at once, and no more."""
    throttle, now, gone = RateLimiter(fastest=1000.0), 100.0, 0
    pauses = 0
    while now < 101.0:
        pause = throttle.reserve(now)
        now, gone, pauses = now + pause, gone + (pause == 0), pauses + (pause > 0)

    assert gone <= 1000 + 2 * 50
    assert gone >= 950
    assert pauses <= 21
