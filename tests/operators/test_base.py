# SPDX-License-Identifier: Apache-2.0
"""The limits of a wait, and how a trigger's event is understood."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.execution.limits import parse_seconds
from airflow_provider_evolink.polling.events import parse_event
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, describe
from testkit.examples import GENERATION_ID
from tests import hostile


@pytest.mark.parametrize(
    ("event", "stop"),
    [
        ({"outcome": "terminal", "status": "completed", "detail": None}, StopPolling(Outcome.TERMINAL, "completed")),
        ({"outcome": "refused", "status": None, "detail": "401"}, StopPolling(Outcome.REFUSED, None, "401")),
        (None, StopPolling(Outcome.DEADLINE)),
        ({}, StopPolling(Outcome.DEADLINE)),
        ({"outcome": "of a later version", "more": 1}, StopPolling(Outcome.DEADLINE)),
        ({"outcome": ["terminal"], "status": {"a": 1}, "detail": None}, StopPolling(Outcome.DEADLINE)),
        (["terminal"], StopPolling(Outcome.DEADLINE)),
    ],
)
def test_events(event: Any, stop: StopPolling) -> None:
    """An event without meaning, or with too much, only makes a worker read the generation."""
    assert parse_event(event) == stop


EVENT = {"generation_id": GENERATION_ID, "outcome": "terminal", "status": "completed", "detail": None}


@given(hostile.corrupted(EVENT) | hostile.anything)
def test_any_event_can_be_parsed(event: Any) -> None:
    """Whatever Airflow's database holds for an event, it has a description that can be printed."""
    stop = parse_event(event)
    assert describe(stop).isprintable()
    assert all(text is None or text.isprintable() for text in (stop.status, stop.detail))


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), (5, 5.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), (30 * 86400, 2592000.0)]
)
def test_durations(value: Any, seconds: float | None) -> None:
    """A duration is a number of seconds or a ``timedelta``."""
    assert parse_seconds("timeout", value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        True,
        "5",
        float("nan"),
        float("inf"),
        timedelta(0),
        timedelta(days=31),
        [],
        pytest.param(10**5000, id="huge"),
    ],
)
def test_invalid_durations(value: Any) -> None:
    """Anything else is rejected by name."""
    with pytest.raises(InvalidInputError, match=r"^`timeout`=.* is invalid: must be "):
        parse_seconds("timeout", value)
