# SPDX-License-Identifier: Apache-2.0
"""Plans are learned from earlier durations, and are robust to changes and to wrong estimates."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.polling.poll_plan import CAP, FLOOR, HISTORY_SIZE, Durations, ObservedDuration, Plan, plan


def cost(planned: Plan, durations: Sequence[float]) -> float:
    """Return the mean number of polls times the mean delay over generations of these durations."""
    polls = delay = 0.0
    for seconds in durations:
        age = 0.0
        while age < seconds:
            age = planned.next_age(age)
            polls += 1
        delay += age - seconds
    return polls * delay / len(durations) ** 2


def log_normal(median: float, sigma: float, *, seed: int = 1) -> Callable[[int], list[float]]:
    """Return a function that draws log-normal durations."""
    rng = random.Random(seed)
    return lambda count: [median * math.exp(sigma * rng.gauss(0, 1)) for _ in range(count)]


def every(seconds: float) -> Plan:
    """Return the plan of a fixed interval."""
    return Plan(tuple(seconds * number for number in range(1, 400)), math.inf)


@pytest.mark.parametrize(("median", "sigma"), [(90, 0.25), (90, 0.6), (300, 0.25), (12, 0.3)])
def test_learning_saves_polls_and_delay(median: float, sigma: float) -> None:
    """A plan from 50 generations costs less than any fixed interval, and no more than one from an honest estimate."""
    draw = log_normal(median, sigma)
    history, future = draw(HISTORY_SIZE), draw(2000)

    learned = cost(plan(history, None), future)

    assert learned < min(cost(every(seconds), future) for seconds in (3, 5, 8, 10, 15, 20, 30))
    assert learned < 1.1 * cost(plan([], median), future)


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 4])
def test_a_wrong_estimate_is_outweighed_by_durations(factor: float) -> None:
    """After ten generations the estimate no longer counts, however wrong it is."""
    draw = log_normal(90, 0.25)
    history, future = draw(10), draw(2000)
    durations = Durations()
    for seconds in history:
        durations.learn("m", ObservedDuration(seconds))

    assert cost(durations.plan("m", 90 * factor), future) <= 1.3 * cost(plan(history, None), future)


def test_a_model_that_gets_faster_is_noticed() -> None:
    """The first fast generation is noticed before the usual duration is over, and the plan soon adapts."""
    slow, fast = log_normal(120, 0.1), log_normal(30, 0.1)
    durations = Durations()
    for seconds in slow(50):
        durations.learn("m", ObservedDuration(seconds))
    assert durations.plan("m", None).next_age(0.0) < 120

    for seconds in fast(50):
        durations.learn("m", ObservedDuration(seconds))

    assert cost(durations.plan("m", None), fast(500)) < cost(every(5), fast(500))


def test_a_censored_duration_counts_as_shorter() -> None:
    """A generation finished by its first poll counts as shorter than its age, and many in a row as much shorter."""
    durations = Durations()
    for _ in range(5):
        durations.learn("m", ObservedDuration(100.0, at_most=True))
    usual = durations.plan("m", None).ages[-1]
    for _ in range(45):
        durations.learn("m", ObservedDuration(100.0, at_most=True))

    assert durations.plan("m", None).next_age(0.0) < 70
    assert durations.plan("m", None).ages[-1] < usual


def test_censored_durations_are_placed_where_the_others_make_them_likely() -> None:
    """If a third had finished by a first poll at 100 s, and the rest took a bit longer, the third took nearly 100 s."""
    durations = Durations()
    for number in range(60):
        durations.learn(
            "m", ObservedDuration(100.0, at_most=True) if number % 3 == 0 else ObservedDuration(102.0 + number % 7)
        )

    assert durations.plan("m", None).ages[0] > 98


@given(st.lists(st.tuples(st.floats(0.0, 100_000), st.booleans()), min_size=1, max_size=70))
def test_any_history_makes_a_plan(history: list[tuple[float, bool]]) -> None:
    """Whatever the history, the first poll comes between the floor and the longest gap."""
    durations = Durations()
    for seconds, at_most in history:
        durations.learn("m", ObservedDuration(seconds, at_most))
    planned = durations.plan("m", None)

    assert FLOOR <= planned.next_age(0.0) <= max(planned.max_gap, FLOOR)


def test_a_stalled_queue_is_polled_forever() -> None:
    """Far beyond the longest known duration polls go on, with gaps that never exceed the longest gap."""
    planned = plan(log_normal(60, 0.2)(50), None)
    age, gaps = 0.0, []
    while age < 7200:
        next_age = planned.next_age(age)
        gaps.append(next_age - age)
        age = next_age

    assert max(gaps) <= planned.max_gap
    assert gaps[-1] == CAP


@given(
    st.lists(st.floats(0.5, 50_000), max_size=60),
    st.one_of(st.none(), st.floats(0.1, 100_000)),
    st.floats(0, 100_000),
)
def test_any_plan_keeps_its_bounds(history: list[float], estimate: float | None, age: float) -> None:
    """Whatever the history and the estimate, the next poll comes between the floor and the longest gap."""
    planned = plan(history, estimate)

    assert FLOOR - 1e-6 <= planned.next_age(age) - age <= max(planned.max_gap, FLOOR) + 1e-6
    assert list(planned.ages) == sorted(planned.ages)


def test_plans_are_shared_and_few() -> None:
    """The same history gives the same plan, which is not computed again for each generation."""
    durations = Durations()
    for seconds in log_normal(90, 0.25)(41):
        durations.learn("m", ObservedDuration(seconds))
    before = durations.plan("m", 60.0)
    durations.learn("m", ObservedDuration(90.0))

    assert durations.plan("m", 61.3) is before
    assert durations.plan("another", 61.3) is durations.plan(None, 61.4)
