"""The limits of a wait, and what a trigger's event is taken for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.pacing import Outcome, Stop
from airflow_provider_evolink.waiting import seconds_of, stop_of


@pytest.mark.parametrize(
    ("event", "stop"),
    [
        ({"outcome": "final", "status": "completed", "detail": None}, Stop(Outcome.FINAL, "completed")),
        ({"outcome": "refused", "status": None, "detail": "401"}, Stop(Outcome.REFUSED, None, "401")),
        (None, Stop(Outcome.DEADLINE)),
        ({}, Stop(Outcome.DEADLINE)),
        ({"outcome": "of a later version", "more": 1}, Stop(Outcome.DEADLINE)),
    ],
)
def test_events(event: Any, stop: Stop) -> None:
    """An event that says nothing, or too much, only makes a worker look for itself."""
    assert stop_of(event) == stop


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, None), (5, 5.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), (30 * 86400, 2592000.0)]
)
def test_durations(given: Any, seconds: float | None) -> None:
    """A duration is a number of seconds or a ``timedelta``."""
    assert seconds_of("timeout", given) == seconds


@pytest.mark.parametrize("given", [0, -1, True, "5", float("nan"), float("inf"), timedelta(0), timedelta(days=31), []])
def test_durations_that_are_none(given: Any) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InvalidInputError, match="timeout="):
        seconds_of("timeout", given)
