# SPDX-License-Identifier: Apache-2.0
"""Items are due together, in order, once and never early."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.polling.timing_wheel import SLOT_SECONDS, TimingWheel


def test_items_due_at_nearly_the_same_time_are_popped_together() -> None:
    """Items of one slot share one wake-up, and keep the order in which they were added."""
    wheel: TimingWheel[str] = TimingWheel()
    first = wheel.add("b", 10.02)
    second = wheel.add("a", 10.01)

    assert (first, second) == (True, False)
    assert wheel.pop_due(10.0, 50) == []
    assert wheel.pop_due(wheel.next_due(), 50) == ["b", "a"]
    assert wheel.next_due() == math.inf


def test_the_limit_of_pop_is_kept() -> None:
    """Items beyond the limit stay due, and come first in the next call."""
    wheel: TimingWheel[int] = TimingWheel()
    for number in range(5):
        wheel.add(number, float(number))

    assert [wheel.pop_due(10.0, 2), wheel.pop_due(10.0, 2), wheel.pop_due(10.0, 2)] == [[0, 1], [2, 3], [4]]


@given(st.lists(st.floats(0, 1000), max_size=50), st.integers(1, 10))
def test_every_item_is_popped_once_and_never_early(due_times: list[float], limit: int) -> None:
    """No item is lost, repeated or early, and none is late by more than a slot."""
    wheel: TimingWheel[float] = TimingWheel()
    for due in due_times:
        wheel.add(due, due)
    popped = []
    while (now := wheel.next_due()) < math.inf:
        for due in wheel.pop_due(now, limit):
            assert due - 1e-6 <= now <= due + SLOT_SECONDS + 1e-6
            popped.append(due)

    assert sorted(popped) == sorted(due_times)
