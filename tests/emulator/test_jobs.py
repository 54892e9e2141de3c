# SPDX-License-Identifier: Apache-2.0
"""A generation's way through its states, as a function of time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.emulator.clock import Clock
from airflow_provider_evolink.emulator.jobs import Destiny, Job, Order, state
from airflow_provider_evolink.emulator.prices import Quote

ORDER = Order(
    model="m",
    kind="video",
    artifacts=(),
    quote=Quote("per_call", 1, 1),
    estimated_seconds=60,
    prompt="",
    callback_url=None,
    idempotency_key=None,
    digest="",
    origin="http://127.0.0.1:1",
)
IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=8)
DESTINIES = st.sampled_from(
    [Destiny(), Destiny("failed", "c", "m"), Destiny("cancelled"), Destiny(stuck_at=50), Destiny(running="odd")]
)


def job(suffix: str = "abcdefgh", destiny: Destiny | None = None) -> Job:
    """Make a generation that was submitted at second 0."""
    return Job(f"task-unified-1-{suffix}", ORDER, destiny or Destiny(), 1, 0.0, "s", 86400.0)


@given(IDS)
def test_generations_take_their_estimate_give_or_take_a_tenth(suffix):
    """Every generation takes 60 s ± 10 %, always the same for the same id."""
    assert 54 <= job(suffix).duration <= 66
    assert job(suffix).duration == job(suffix).duration


@given(IDS, DESTINIES, st.lists(st.floats(0, 200), min_size=2).map(sorted))
def test_progress_never_goes_back_until_the_end(suffix, destiny, moments):
    """Progress only grows while a generation runs, states never go back, and the final state stays."""
    order = {"pending": 0, "processing": 1, "odd": 1, "completed": 2, "failed": 2, "cancelled": 2}
    seen = [state(job(suffix, destiny), moment) for moment in moments]
    for before, after in pairwise(seen):
        assert order[before.status] <= order[after.status]
        assert after.is_terminal or before.progress <= after.progress <= 99
        assert not before.is_terminal or before == after


def test_progress_is_whole_when_completed_and_nil_when_failed():
    """Completed is 100, everything else that ended is 0, as documented."""
    assert state(job(), 66).progress == 100
    assert state(job(destiny=Destiny("failed", "c", "m")), 66).progress == 0


def test_stalled_generation_never_ends():
    """A stalled generation hangs at its progress for ever."""
    assert state(job(destiny=Destiny(stuck_at=50)), 1e9).progress == 50


def test_clock_keeps_what_has_passed_when_its_pace_changes():
    """A new pace counts from now on only; time can be pushed forward."""
    seconds = 0.0
    clock = Clock(10, lambda: seconds)
    seconds = 6.0
    clock.run_at(1)
    assert clock.now() == 60
    seconds = 7.0
    clock.advance(100)
    assert clock.now() == 161
    assert clock.ago(61) == 100


@pytest.mark.parametrize(("pace", "estimate"), [(1, 60), (20, 3), (1000, 1)])
def test_estimates_are_in_the_clients_seconds(api, pace, estimate):
    """estimated_time shrinks with the clock's pace, but never under 1 s."""
    api.control.run_at(pace)
    assert api.post().json()["task_info"]["estimated_time"] == estimate


def test_generation_really_finishes_by_itself(api):
    """At a fast pace, a generation is completed after real time, without anybody pushing."""
    api.control.run_at(1000)
    generation_id = api.submit()
    while api.read(generation_id)["status"] != "completed":
        assert api.control.state()["clock"]["now"] < 1000
