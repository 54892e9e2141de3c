# SPDX-License-Identifier: Apache-2.0
"""The plan of the chaos run: its schedule, its faults and its prompts."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.chaos import fault_profile
from tests.chaos.kill_schedule import MAX_AGE, ROUND, batch_schedule, schedule
from tests.chaos.prompts import batch_rows, video_arguments


def test_the_seed_determines_the_schedule() -> None:
    """The same seed gives the same kills, another seed others."""
    assert schedule(7) == schedule(7) != schedule(8)


def test_every_target_gets_its_turn_in_each_round() -> None:
    """A schedule is finite, and each of its rounds kills each target as often as configured."""
    wanted = {entry.target: entry.times for entry in ROUND}
    size = sum(wanted.values())
    kills = schedule(7, rounds=3)
    assert len(kills) == 3 * size
    for start in range(0, len(kills), size):
        assert Counter(kill.target for kill in kills[start : start + size]) == wanted


def test_the_workers_of_batches_are_killed_at_any_age() -> None:
    """Batches get the same kills; some workers have just started then, others have worked for a while."""
    ages = [kill.age for kill in batch_schedule(7, rounds=3) if kill.target == "worker"]
    assert Counter(kill.target for kill in batch_schedule(7, 1)) == Counter(kill.target for kill in schedule(7, 1))
    assert min(ages) < MAX_AGE / 5
    assert max(ages) > MAX_AGE * 4 / 5


def test_all_faults_are_active_at_once(evolink_emulator: EmulatorHandle) -> None:
    """The emulator accepts the whole fault profile, and no fault of it expires."""
    fault_profile.activate(evolink_emulator.control)
    active = evolink_emulator.control.state()["faults"]
    assert len(active) == sum(map(len, fault_profile.FAULT_PROFILE.values()))
    assert all(fault["times"] is None and fault["probability"] < 1 for fault in active)


def test_lost_responses_stay_below_the_limit_of_requests() -> None:
    """Lost responses are so rare that six in a row, the limit, hit none of 200 submissions in 100 runs."""
    harmless = {"rate_limit", "generation_failed", "generation_cancelled", "unknown_status", "result_data_only"}
    passed = 1.0
    for fault in fault_profile.SUBMIT:
        is_slow = fault.options.get("seconds", fault_profile.SUBMIT_TIMEOUT + 1) <= fault_profile.SUBMIT_TIMEOUT
        passed *= 1 if fault.name in harmless or is_slow else 1 - fault.percent / 100
    assert 200 * (1 - passed) ** 6 < 0.01


def test_every_video_has_its_own_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many videos as configured, each with its own prompt."""
    monkeypatch.setenv("CHAOS_TASKS", "30")
    assert len({arguments["prompt"] for arguments in video_arguments()}) == 30


def test_the_rows_of_all_batches_are_the_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each video is a row of one batch, with a key of its own; batches are alike in size."""
    monkeypatch.setenv("CHAOS_BATCHES", "3")
    batches = batch_rows()
    assert [len(rows) for rows in batches] == [100, 100, 100]
    assert len({(row["sku"], row["prompt"]) for rows in batches for row in rows}) == 300
