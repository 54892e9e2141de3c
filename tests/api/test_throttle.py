"""How fast may be asked: a burst at first, the fastest rate then, and less when EvoLink says so."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.api.throttle import FASTEST, SLOWEST, Throttle


def test_a_burst_and_then_the_rate() -> None:
    """A few go at once, the others one by one; who waited long may go at once again."""
    throttle = Throttle(fastest=10.0)
    waits = [throttle.reserve(100.0) for _ in range(12)]

    assert waits[:8] == [0.0] * 8
    assert waits[8:] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert throttle.reserve(200.0) == 0.0


def test_one_retry_after_slows_everyone() -> None:
    """A pause that EvoLink asks for holds for all, and a crowd of 429 halves the rate once."""
    throttle = Throttle()
    for _ in range(20):
        throttle.slow_down(100.0, 7.0)

    assert throttle.rate == FASTEST / 2
    assert throttle.reserve(101.0) == pytest.approx(6.0)


def test_it_recovers_slowly_and_never_stops() -> None:
    """However often it is slowed down, something goes; each answer brings a little back."""
    throttle = Throttle()
    for second in range(100):
        throttle.slow_down(float(second), None)
    assert throttle.rate == SLOWEST

    for _ in range(int(FASTEST)):
        throttle.speed_up()
    assert throttle.rate == FASTEST


def test_a_budget_admits_only_what_is_free_now() -> None:
    """Who is not admitted takes no place."""
    lines = Throttle(fastest=5.0)
    told = [lines.admits(100.0) for _ in range(100)]

    assert sum(told) == 8
    assert lines.admits(100.21)


def test_who_has_to_wait_goes_together() -> None:
    """At a high rate nobody is woken for a single place: all that have one by then go at once, and no more."""
    throttle, now, gone = Throttle(fastest=1000.0), 100.0, 0
    pauses = 0
    while now < 101.0:
        pause = throttle.reserve(now)
        now, gone, pauses = now + pause, gone + 1, pauses + (pause > 0)

    assert gone <= 1000 + 2 * 50
    assert gone >= 950
    assert pauses <= 21
