from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.chaos import weather
from tests.chaos.strikes import DECK, plan
from tests.chaos.wishes import wishes


def test_the_seed_decides_who_is_killed_when() -> None:
    """The same seed gives the same strikes, another seed others."""
    assert plan(7) == plan(7) != plan(8)


def test_everybody_gets_their_turn_in_each_deck() -> None:
    """A plan is bounded, and each of its decks strikes each victim as often as it should."""
    wanted = {card.victim: card.times for card in DECK}
    size = sum(wanted.values())
    strikes = plan(7, decks=3)
    assert len(strikes) == 3 * size
    for start in range(0, len(strikes), size):
        assert Counter(strike.victim for strike in strikes[start : start + size]) == wanted


def test_all_faults_are_active_at_once(evolink_emulator: EmulatorHandle) -> None:
    """The emulator takes the whole weather, and no fault of it has an end."""
    weather.break_out(evolink_emulator.control)
    active = evolink_emulator.control.state()["faults"]
    assert len(active) == sum(map(len, weather.WEATHER.values()))
    assert all(fault["times"] is None and fault["probability"] < 1 for fault in active)


def test_a_submission_is_hardly_ever_sent_too_often() -> None:
    """Lost answers are so rare that six in a row, after which nothing is sent again, hit none of 200 in 100 runs."""
    harmless = {"rate_limit", "generation_failed", "generation_cancelled", "unknown_status", "result_data_only"}
    passed = 1.0
    for fault in weather.SUBMIT:
        is_slow = fault.options.get("seconds", weather.SUBMIT_TIMEOUT + 1) <= weather.SUBMIT_TIMEOUT
        passed *= 1 if fault.name in harmless or is_slow else 1 - fault.percent / 100
    assert 200 * (1 - passed) ** 6 < 0.01


def test_every_wish_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many wishes as wanted, and each is told from all others by its prompt."""
    monkeypatch.setenv("CHAOS_TASKS", "30")
    assert len({wish["prompt"] for wish in wishes()}) == 30
