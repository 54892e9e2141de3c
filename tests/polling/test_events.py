# SPDX-License-Identifier: Apache-2.0
"""How the event of a wait for many generations is stored, and understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_evolink.polling.crowd import CrowdEnd
from airflow_provider_evolink.polling.events import batch_event_payload, parse_batch_event
from airflow_provider_evolink.polling.policy import Outcome
from tests import hostile

END = CrowdEnd(250, 1000, Outcome.TERMINAL, "3 deadline")
ANY_END = CrowdEnd(0, 0, Outcome.TERMINAL)


@pytest.mark.parametrize("outcome", [Outcome.TERMINAL, Outcome.UNREACHABLE, Outcome.NO_CONNECTION])
def test_round_trip(outcome: Outcome) -> None:
    """An end is the same after the trip through Airflow's JSON."""
    end = CrowdEnd(250, 1000, outcome, "3 deadline")

    assert parse_batch_event(json.loads(json.dumps(batch_event_payload(end)))) == end


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"outcome": "of a later version", "more": 1},
        {"outcome": ["terminal"], "ended": "3", "watched": -1, "detail": {}},
        {"ended": True, "watched": 2.5},
        ["terminal"],
    ],
)
def test_an_event_without_meaning_makes_a_worker_read(event: Any) -> None:
    """An event that can't be understood counts as one that enough have ended, since a worker reads all of them."""
    assert parse_batch_event(event) == ANY_END


@given(hostile.corrupted(batch_event_payload(END)) | hostile.anything)
def test_any_event_can_be_parsed(event: Any) -> None:
    """Whatever Airflow's database holds for an event, its counts are numbers, and its detail can be printed."""
    end = parse_batch_event(event)

    assert (type(end.ended), type(end.watched)) == (int, int)
    assert end.detail is None or end.detail.isprintable()
