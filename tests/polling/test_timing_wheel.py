"""What is due when."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.polling.timing_wheel import SLOT_SECONDS, TimingWheel


def test_who_is_due_nearly_together_is_taken_together() -> None:
    """One slot wakes once, in the order in which they came."""
    wheel: TimingWheel[str] = TimingWheel()
    first = wheel.add("b", 10.02)
    second = wheel.add("a", 10.01)

    assert (first, second) == (True, False)
    assert wheel.pop_due(10.0, 50) == []
    assert wheel.pop_due(wheel.next_due(), 50) == ["b", "a"]
    assert wheel.next_due() == math.inf


def test_no_more_are_taken_than_wanted() -> None:
    """Those that are left stay due, and come first."""
    wheel: TimingWheel[int] = TimingWheel()
    for number in range(5):
        wheel.add(number, float(number))

    assert [wheel.pop_due(10.0, 2), wheel.pop_due(10.0, 2), wheel.pop_due(10.0, 2)] == [[0, 1], [2, 3], [4]]


@given(st.lists(st.floats(0, 1000), max_size=50), st.integers(1, 10))
def test_everything_comes_once_and_never_early(dues: list[float], most: int) -> None:
    """Nothing is lost, doubled or early, and nothing is later than a slot."""
    wheel: TimingWheel[float] = TimingWheel()
    for due in dues:
        wheel.add(due, due)
    taken = []
    while (now := wheel.next_due()) < math.inf:
        for due in wheel.pop_due(now, most):
            assert due - 1e-6 <= now <= due + SLOT_SECONDS + 1e-6
            taken.append(due)

    assert sorted(taken) == sorted(dues)
