"""When to ask: learned from earlier durations, robust to what changes and to what lies."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.polling.poll_plan import CAP, FLOOR, REMEMBERED, Durations, ObservedDuration, Plan, plan


def spent(made: Plan, durations: Sequence[float]) -> float:
    """Requests times mean delay over generations that take so long."""
    requests = delay = 0.0
    for seconds in durations:
        age = 0.0
        while age < seconds:
            age = made.next_age(age)
            requests += 1
        delay += age - seconds
    return requests * delay / len(durations) ** 2


def takes(median: float, spread: float, *, seed: int = 1) -> Callable[[int], list[float]]:
    """Draw durations of a model."""
    chance = random.Random(seed)
    return lambda count: [median * math.exp(spread * chance.gauss(0, 1)) for _ in range(count)]


def every(seconds: float) -> Plan:
    """The plan of somebody who learns nothing."""
    return Plan(tuple(seconds * number for number in range(1, 400)), math.inf)


@pytest.mark.parametrize(("median", "spread"), [(90, 0.25), (90, 0.6), (300, 0.25), (12, 0.3)])
def test_what_was_learned_saves_questions_and_delay(median: float, spread: float) -> None:
    """After 50 generations it is better than any fixed interval, and not worse than what an honest estimate gives."""
    draw = takes(median, spread)
    known, coming = draw(REMEMBERED), draw(2000)

    learned = spent(plan(known, None), coming)

    assert learned < min(spent(every(seconds), coming) for seconds in (3, 5, 8, 10, 15, 20, 30))
    assert learned < 1.1 * spent(plan([], median), coming)


@pytest.mark.parametrize("wrong", [0.25, 0.5, 2, 4])
def test_a_wrong_estimate_is_outweighed_by_what_is_seen(wrong: float) -> None:
    """After ten generations an estimate no longer counts, however wrong."""
    draw = takes(90, 0.25)
    known, coming = draw(10), draw(2000)
    memory = Durations()
    for seconds in known:
        memory.learn("m", ObservedDuration(seconds))

    assert spent(memory.plan("m", 90 * wrong), coming) <= 1.3 * spent(plan(known, None), coming)


def test_a_model_that_gets_faster_is_noticed() -> None:
    """The first fast generation is seen before the usual time is over, and soon they are asked about in time."""
    slow, fast = takes(120, 0.1), takes(30, 0.1)
    memory = Durations()
    for seconds in slow(50):
        memory.learn("m", ObservedDuration(seconds))
    assert memory.plan("m", None).next_age(0.0) < 120

    for seconds in fast(50):
        memory.learn("m", ObservedDuration(seconds))

    assert spent(memory.plan("m", None), fast(500)) < spent(every(5), fast(500))


def test_what_had_ended_at_the_first_question_took_less() -> None:
    """Nine tenths of its age, and less when so many in a row had ended that the model must have got faster."""
    memory = Durations()
    for _ in range(5):
        memory.learn("m", ObservedDuration(100.0, at_most=True))
    usual = memory.plan("m", None).ages[-1]
    for _ in range(45):
        memory.learn("m", ObservedDuration(100.0, at_most=True))

    assert memory.plan("m", None).next_age(0.0) < 70
    assert memory.plan("m", None).ages[-1] < usual


def test_what_had_ended_at_once_is_put_where_the_others_make_it_likely() -> None:
    """If a third had ended at 100 s and the rest between 100 and 110 s, that third took nearly as long."""
    memory = Durations()
    for number in range(60):
        memory.learn(
            "m", ObservedDuration(100.0, at_most=True) if number % 3 == 0 else ObservedDuration(102.0 + number % 7)
        )

    assert memory.plan("m", None).ages[0] > 98


@given(st.lists(st.tuples(st.floats(0.0, 100_000), st.booleans()), min_size=1, max_size=70))
def test_whatever_is_learned_leads_to_a_plan(seen: list[tuple[float, bool]]) -> None:
    """No history is too odd: the next question comes after the floor, and after no longer than the longest silence."""
    memory = Durations()
    for seconds, at_most in seen:
        memory.learn("m", ObservedDuration(seconds, at_most))
    made = memory.plan("m", None)

    assert FLOOR <= made.next_age(0.0) <= max(made.max_gap, FLOOR)


def test_a_queue_that_stalls_is_asked_about_for_ever() -> None:
    """Far beyond all experience, questions go on, at most the longest silence apart."""
    made = plan(takes(60, 0.2)(50), None)
    age, gaps = 0.0, []
    while age < 7200:
        later = made.next_age(age)
        gaps.append(later - age)
        age = later

    assert max(gaps) <= made.max_gap
    assert gaps[-1] == CAP


@given(
    st.lists(st.floats(0.5, 50_000), max_size=60),
    st.one_of(st.none(), st.floats(0.1, 100_000)),
    st.floats(0, 100_000),
)
def test_any_plan_keeps_its_bounds(durations: list[float], estimate: float | None, age: float) -> None:
    """Whatever was seen or promised, the next question comes between the floor and the longest silence."""
    made = plan(durations, estimate)

    assert FLOOR - 1e-6 <= made.next_age(age) - age <= max(made.max_gap, FLOOR) + 1e-6
    assert list(made.ages) == sorted(made.ages)


def test_plans_are_shared_and_few() -> None:
    """The same knowledge gives the same plan, without reckoning it anew for each generation."""
    memory = Durations()
    for seconds in takes(90, 0.25)(41):
        memory.learn("m", ObservedDuration(seconds))
    before = memory.plan("m", 60.0)
    memory.learn("m", ObservedDuration(90.0))

    assert memory.plan("m", 61.3) is before
    assert memory.plan("another", 61.3) is memory.plan(None, 61.4)
