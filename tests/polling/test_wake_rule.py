# SPDX-License-Identifier: Apache-2.0
"""A worker is started for enough ended generations, for all, or for one that has waited for long; never for none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.polling.wake_rule import WakeRule, seconds_until_wake, should_wake

RULE = WakeRule(at_least=25, longest_wait=600.0)


@pytest.mark.parametrize(
    ("ended", "watched", "oldest_ended_at", "wakes"),
    [
        (0, 100, None, False),
        (24, 100, 1000.0, False),
        (25, 100, 1000.0, True),
        (9, 10, 1000.0, False),
        (10, 10, 1000.0, True),
        (1, 100, 401.0, False),
        (1, 100, 400.0, True),
        (0, 0, None, True),
    ],
    ids=["none", "too few", "enough", "all but one of few", "all of few", "not yet", "overdue", "nothing to wait for"],
)
def test_the_rule(ended: int, watched: int, oldest_ended_at: float | None, wakes: bool) -> None:
    """A worker is woken when enough have ended, when all have, or when the first has waited long enough."""
    assert should_wake(RULE, ended=ended, watched=watched, oldest_ended_at=oldest_ended_at, now=1000.0) is wakes


@pytest.mark.parametrize("at_least", [0, -5])
def test_nothing_wakes_nobody(at_least: int) -> None:
    """As long as nothing has ended no worker is started, whatever the rule says."""
    rule = WakeRule(at_least)

    assert not should_wake(rule, ended=0, watched=10, oldest_ended_at=None, now=0.0)
    assert should_wake(rule, ended=1, watched=10, oldest_ended_at=0.0, now=0.0)


def test_the_alarm() -> None:
    """The alarm counts from the first end, and is never in the past."""
    assert seconds_until_wake(RULE, oldest_ended_at=None, now=1000.0) is None
    assert seconds_until_wake(RULE, oldest_ended_at=900.0, now=1000.0) == 500.0
    assert seconds_until_wake(RULE, oldest_ended_at=100.0, now=1000.0) == 0.0


@given(st.integers(1, 50), st.floats(0, 900), st.integers(0, 50), st.integers(1, 50), st.floats(0, 1000))
def test_alarm_and_rule_agree(at_least: int, longest_wait: float, ended: int, watched: int, oldest: float) -> None:
    """When the alarm rings, the worker is woken; and more ends never postpone that."""
    rule, ended = WakeRule(at_least, longest_wait), min(ended, watched)
    seconds = seconds_until_wake(rule, oldest_ended_at=oldest, now=1000.0)
    woken = should_wake(rule, ended=ended, watched=watched, oldest_ended_at=oldest, now=1000.0)

    assert seconds is not None
    assert seconds > 0 or woken
    assert not woken or should_wake(rule, ended=watched, watched=watched, oldest_ended_at=oldest, now=1000.0)
