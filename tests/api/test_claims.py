# SPDX-License-Identifier: Apache-2.0
"""EvoLink's claims may be wrong: the estimate, the progress, how long a generation took.

Simulated with the provider's own decisions and no clock: no claim may cost more than two minutes of delay, nor more
than twice the polls that an honest one costs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.polling import policy
from airflow_provider_evolink.polling.policy import PollAgain, Progress, Watch
from airflow_provider_evolink.polling.poll_plan import Durations, ObservedDuration

TWO_MINUTES = 120.0
HOUR = 3600.0
# From a second to three hours, closer together than the polls of any plan.
DURATIONS = [1.15**number for number in range(67)]
ESTIMATES = [None, 1e-9, 0.5, *(1.7**number for number in range(18)), 3 * HOUR, 1e5, 1e9]

Claim = Callable[[float, float], int | None]


def no_progress(age: float, duration: float) -> int | None:
    """Report no progress at all."""
    return None


@cache
def simulate(
    estimate: float | None,
    duration: float,
    *,
    claim: Claim = no_progress,
    known: tuple[float, ...] = (),
    seed: int = -1,
) -> tuple[int, float]:
    """Poll a generation until it ends; return how many polls it took, and the seconds from its end to the last poll."""
    random_source = random.Random(seed)
    jitters: Iterator[float] = iter((lambda: 0.5) if seed < 0 else random_source.random, None)
    durations = Durations()
    for seconds in known:
        durations.learn("m", ObservedDuration(seconds))
    plan = durations.plan("m", estimate)
    watch = Watch("task-unified-1", 0.0, 1e9, estimated_time=estimate, model="m")
    now, polls, progress = policy.first_delay(watch, plan, now=0.0, jitter=next(jitters)), 1, Progress()
    while now < duration:
        remote = Generation("task-unified-1", "processing", progress=claim(now, duration), estimated_time=estimate)
        step = policy.after_response(watch, progress, remote, plan, now=now, jitter=next(jitters))
        assert isinstance(step, PollAgain)
        now, polls, progress = now + step.delay, polls + 1, step.progress
    return polls, now - duration


@pytest.mark.parametrize("seed", [-1, 1, 2])
def test_no_estimate_costs_more_than_two_minutes_of_delay(seed: int) -> None:
    """Whatever the estimate, the end of a generation of a second to three hours is noticed within two minutes."""
    late = {
        (estimate, duration): delay
        for estimate in ESTIMATES
        for duration in DURATIONS
        if (delay := simulate(estimate, duration, seed=seed)[1]) > TWO_MINUTES
    }

    assert not late


@pytest.mark.parametrize("duration", DURATIONS)
def test_an_estimate_ten_times_too_short_costs_at_most_twice_the_polls(duration: float) -> None:
    """An estimate ten times too short costs at most twice the polls of an exact one; closer ones cost one poll more."""
    honest, _ = simulate(duration, duration)

    assert simulate(duration / 10, duration)[0] <= 2 * honest
    for times in (1.5, 2, 3, 5, 7):
        assert simulate(duration / times, duration)[0] <= 2 * honest + 1


@pytest.mark.parametrize("duration", DURATIONS)
@pytest.mark.parametrize("times", [30, 100, 1000])
def test_a_useless_estimate_costs_at_most_twice_what_none_costs(duration: float, times: float) -> None:
    """An estimate that is further off costs at most twice the polls of no estimate at all."""
    none, honest = simulate(None, duration)[0], simulate(duration, duration)[0]

    assert simulate(duration / times, duration)[0] <= 2 * max(none, honest)


def always_nearly_done(age: float, duration: float) -> int | None:
    """Report 99 % from the start."""
    return 99


def never_quite_done(age: float, duration: float) -> int | None:
    """Report progress that keeps slowing down, so that no extrapolation of it is right."""
    return round(100 * age / (age + 20))


def faster_than_it_is(age: float, duration: float) -> int | None:
    """Report progress as if the generation took a third of its time."""
    return min(round(300 * age / duration), 99)


def slower_than_it_is(age: float, duration: float) -> int | None:
    """Report progress as if the generation took ten times as long."""
    return round(10 * age / duration)


def back_and_forth(age: float, duration: float) -> int | None:
    """Report anything."""
    return (13, 90, 50, 99, 0, 100, -5, 400)[round(age) % 8]


WRONG_CLAIMS = [always_nearly_done, never_quite_done, faster_than_it_is, slower_than_it_is, back_and_forth]


@pytest.mark.parametrize("claim", WRONG_CLAIMS, ids=lambda claim: claim.__name__)
def test_wrong_progress_costs_at_most_two_minutes_and_twice_the_polls(claim: Claim) -> None:
    """Progress that is wrong, stalls or goes back costs at most two minutes of delay and twice the polls."""
    for duration in DURATIONS:
        for estimate in (None, duration / 3, duration, duration * 10):
            polls, delay = simulate(estimate, duration, claim=claim)
            assert delay <= TWO_MINUTES
            assert polls <= 2 * simulate(estimate, duration)[0]


@pytest.mark.parametrize("usual", [20.0, 300.0, 1200.0, 3 * HOUR])
def test_a_sudden_speedup_is_noticed_within_two_minutes(usual: float) -> None:
    """A model that suddenly takes a fraction of what it took fifty times is noticed within two minutes, too."""
    known = tuple(usual * (1 + number % 7 / 100) for number in range(50))

    assert max(simulate(None, duration, known=known)[1] for duration in DURATIONS) <= TWO_MINUTES


@pytest.mark.parametrize("claimed", [0.001, 1.0, 30.0, 279.0])
def test_a_duration_that_the_polls_rule_out_is_not_learned(claimed: float) -> None:
    """A generation that was unfinished at 280 s did not take less, whatever the final response claims."""
    watch = Watch("task-unified-1", 0.0, 1e9, model="m")
    done = Generation("task-unified-1", COMPLETED, model="m", duration=claimed)
    plan = Durations().plan("m", None)

    assert policy.observed_duration(
        watch, Progress(last_response_age=280.0), done, plan, now=300.0
    ) == ObservedDuration(290.0)
