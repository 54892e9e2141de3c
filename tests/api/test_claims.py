"""
What EvoLink claims may be wrong: the estimate, the progress, how long a generation took.

Simulated with the product's own decisions and no clock: no claim may cost more than two minutes of delay, nor more than
twice the questions that an honest one costs.
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
# From seconds to three hours, closer together than any plan's questions.
DURATIONS = [1.15**number for number in range(67)]
ESTIMATES = [None, 1e-9, 0.5, *(1.7**number for number in range(18)), 3 * HOUR, 1e5, 1e9]

Claim = Callable[[float, float], int | None]


def silent(age: float, duration: float) -> int | None:
    """A service that tells no progress."""
    return None


@cache
def waited(
    estimate: float | None, duration: float, *, claim: Claim = silent, known: tuple[float, ...] = (), seed: int = -1
) -> tuple[int, float]:
    """Wait for a generation; return how many questions it took, and how long after its end it was noticed."""
    dice = random.Random(seed)
    chances: Iterator[float] = iter((lambda: 0.5) if seed < 0 else dice.random, None)
    durations = Durations()
    for seconds in known:
        durations.learn("m", ObservedDuration(seconds))
    plan = durations.plan("m", estimate)
    watch = Watch("task-unified-1", 0.0, 1e9, estimated_time=estimate, model="m")
    now, questions, progress = policy.first_delay(watch, plan, now=0.0, jitter=next(chances)), 1, Progress()
    while now < duration:
        seen = Generation("task-unified-1", "processing", progress=claim(now, duration), estimated_time=estimate)
        step = policy.after_response(watch, progress, seen, plan, now=now, jitter=next(chances))
        assert isinstance(step, PollAgain)
        now, questions, progress = now + step.delay, questions + 1, step.progress
    return questions, now - duration


@pytest.mark.parametrize("seed", [-1, 1, 2])
def test_no_estimate_costs_more_than_two_minutes_of_delay(seed: int) -> None:
    """Whatever is claimed and however long it takes, from a second to three hours, the end is noticed in time."""
    late = {
        (estimate, duration): delay
        for estimate in ESTIMATES
        for duration in DURATIONS
        if (delay := waited(estimate, duration, seed=seed)[1]) > TWO_MINUTES
    }

    assert not late


@pytest.mark.parametrize("duration", DURATIONS)
def test_an_estimate_ten_times_too_short_costs_at_most_twice_the_questions(duration: float) -> None:
    """Compared with an estimate that is right to the second; ten times, and a question more for what lies between."""
    honest, _ = waited(duration, duration)

    assert waited(duration / 10, duration)[0] <= 2 * honest
    for times in (1.5, 2, 3, 5, 7):
        assert waited(duration / times, duration)[0] <= 2 * honest + 1


@pytest.mark.parametrize("duration", DURATIONS)
@pytest.mark.parametrize("times", [30, 100, 1000])
def test_an_estimate_that_says_nothing_costs_at_most_twice_what_none_costs(duration: float, times: float) -> None:
    """One that is further off is compared with no estimate at all."""
    none, honest = waited(None, duration)[0], waited(duration, duration)[0]

    assert waited(duration / times, duration)[0] <= 2 * max(none, honest)


def always_nearly_done(age: float, duration: float) -> int | None:
    """It says 99 % from the beginning."""
    return 99


def never_quite_done(age: float, duration: float) -> int | None:
    """It comes ever closer to its end, which is never where the last answers put it."""
    return round(100 * age / (age + 20))


def faster_than_it_is(age: float, duration: float) -> int | None:
    """It counts as if it took a third."""
    return min(round(300 * age / duration), 99)


def slower_than_it_is(age: float, duration: float) -> int | None:
    """It counts as if it took ten times as long."""
    return round(10 * age / duration)


def back_and_forth(age: float, duration: float) -> int | None:
    """It says anything."""
    return (13, 90, 50, 99, 0, 100, -5, 400)[round(age) % 8]


LIES = [always_nearly_done, never_quite_done, faster_than_it_is, slower_than_it_is, back_and_forth]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_no_progress_costs_more_than_that_either(lie: Claim) -> None:
    """A progress that lies, stands still or goes back costs no more than two minutes, nor twice the questions."""
    for duration in DURATIONS:
        for estimate in (None, duration / 3, duration, duration * 10):
            questions, delay = waited(estimate, duration, claim=lie)
            assert delay <= TWO_MINUTES
            assert questions <= 2 * waited(estimate, duration)[0]


@pytest.mark.parametrize("usual", [20.0, 300.0, 1200.0, 3 * HOUR])
def test_what_was_learned_is_not_believed_for_longer(usual: float) -> None:
    """When a model suddenly takes a fraction of what it took fifty times, that is noticed within two minutes, too."""
    known = tuple(usual * (1 + number % 7 / 100) for number in range(50))

    assert max(waited(None, duration, known=known)[1] for duration in DURATIONS) <= TWO_MINUTES


@pytest.mark.parametrize("claimed", [0.001, 1.0, 30.0, 279.0])
def test_a_duration_that_the_questions_rule_out_is_not_learned(claimed: float) -> None:
    """What was seen unfinished at 280 s did not take less, whatever the final answer says."""
    watch = Watch("task-unified-1", 0.0, 1e9, model="m")
    done = Generation("task-unified-1", COMPLETED, model="m", duration=claimed)
    plan = Durations().plan("m", None)

    assert policy.observed_duration(
        watch, Progress(last_response_age=280.0), done, plan, now=300.0
    ) == ObservedDuration(290.0)
