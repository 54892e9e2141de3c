# SPDX-License-Identifier: Apache-2.0
"""The states of a generation, as a function of time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.emulator.state.clock import Clock
from airflow_provider_evolink.emulator.state.generations import Generation, PlannedOutcome, SubmissionSpec, state_at
from airflow_provider_evolink.emulator.state.pricing import Quote

SPEC = SubmissionSpec(
    model="m",
    kind="video",
    artifacts=(),
    quote=Quote("per_call", 1, 1),
    estimated_seconds=60,
    prompt="",
    callback_url=None,
    idempotency_key=None,
    request_digest="",
    origin="http://127.0.0.1:1",
)
IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=8)
OUTCOMES = st.sampled_from(
    [
        PlannedOutcome(),
        PlannedOutcome("failed", "c", "m"),
        PlannedOutcome("cancelled"),
        PlannedOutcome(stalls_at=50),
        PlannedOutcome(running_status="odd"),
    ]
)


def generation(suffix: str = "abcdefgh", outcome: PlannedOutcome | None = None) -> Generation:
    """Build a generation that was submitted at second 0."""
    return Generation(f"task-unified-1-{suffix}", SPEC, outcome or PlannedOutcome(), 1, 0.0, "s", 86400.0)


@given(IDS)
def test_durations_spread_around_the_estimate(suffix):
    """Every generation takes 60 s ± 10 %, always the same for the same id."""
    assert 54 <= generation(suffix).duration <= 66
    assert generation(suffix).duration == generation(suffix).duration


@given(IDS, OUTCOMES, st.lists(st.floats(0, 200), min_size=2).map(sorted))
def test_progress_never_decreases(suffix, outcome, moments):
    """Progress and status never go back while a generation runs, and a terminal state never changes."""
    order = {"pending": 0, "processing": 1, "odd": 1, "completed": 2, "failed": 2, "cancelled": 2}
    states = [state_at(generation(suffix, outcome), moment) for moment in moments]
    for before, after in pairwise(states):
        assert order[before.status] <= order[after.status]
        assert after.is_terminal or before.progress <= after.progress <= 99
        assert not before.is_terminal or before == after


def test_terminal_progress_is_100_or_0():
    """Progress is 100 when completed and 0 when failed, as documented."""
    assert state_at(generation(), 66).progress == 100
    assert state_at(generation(outcome=PlannedOutcome("failed", "c", "m")), 66).progress == 0


def test_stalled_generation_never_ends():
    """A stalled generation keeps its progress forever."""
    assert state_at(generation(outcome=PlannedOutcome(stalls_at=50)), 1e9).progress == 50


def test_clock_keeps_elapsed_time_when_its_speed_changes():
    """A new speed applies from now on only, and time can be moved forward."""
    seconds = 0.0
    clock = Clock(10, lambda: seconds)
    seconds = 6.0
    clock.set_speed(1)
    assert clock.now() == 60
    seconds = 7.0
    clock.advance(100)
    assert clock.now() == 161
    assert clock.real_seconds_since(61) == 100


@pytest.mark.parametrize(("speed", "estimate"), [(1, 60), (20, 3), (1000, 1)])
def test_estimates_are_in_real_seconds(api, speed, estimate):
    """estimated_time shrinks with the clock's speed, to 1 s at least."""
    api.control.set_speed(speed)
    assert api.post().json()["task_info"]["estimated_time"] == estimate


def test_generation_completes_in_real_time(api):
    """At high speed, a generation completes without moving the clock forward."""
    api.control.set_speed(1000)
    generation_id = api.submit()
    while api.read(generation_id)["status"] != "completed":
        assert api.control.state()["clock"]["now"] < 1000
