# SPDX-License-Identifier: Apache-2.0
"""The invariants of the chaos run find every violation, and its report shows every figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.invariants import Facts, Video, violations
from tests.chaos.report import Figures, report

ID, DIGEST, FILE = "task-unified-1-abcdefgh", "5ha", "/landed/1/0.mp4"
CHARGED = {"id": ID, "status": "completed", "charged": 29.8}
FAILED = {"id": "task-unified-0-abcdefgh", "status": "failed", "charged": 0.0}
SECOND = {"id": "task-unified-2-abcdefgh", "status": "completed", "charged": 29.8}
RETURNED = {"uri": f"file://{FILE}", "sha256": DIGEST, "generation_id": ID}
VIDEO = Video(
    prompt="Lighthouse number 0",
    generations=[FAILED, CHARGED],
    states={"generate": "success", "land": "success"},
    tries={"generate": 3, "land": 1},
    ledger={"generation_id": ID, "previous_ids": [FAILED["id"]], "send_count": 2},
    log="",
    returned=[RETURNED],
)
GOOD = Facts(videos=[VIDEO], delivered={ID: DIGEST}, files={FILE: DIGEST})


def with_video(**changes: Any) -> Facts:
    """Return the good facts with changes to the video."""
    return replace(GOOD, videos=[replace(VIDEO, **changes)])


def test_one_charge_and_its_file_violate_nothing() -> None:
    """An earlier failed generation, which costs nothing, violates nothing; all figures agree."""
    assert violations(GOOD) == []
    assert (GOOD.double_charges, GOOD.lost, GOOD.landed) == (0, 0, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"generations": [CHARGED, SECOND]}, "2 generations were charged"),
        ({"generations": [FAILED]}, "0 generations were charged: none"),
        ({"generations": [FAILED, SECOND]}, f"{ID} has landed, but was not charged"),
        ({"returned": []}, "0 files were returned"),
        ({"returned": [RETURNED, RETURNED]}, "2 files were returned"),
        ({"returned": [{**RETURNED, "sha256": "other"}]}, "is not what EvoLink delivers"),
        ({"returned": [{**RETURNED, "uri": "file:///landed/2/0.mp4"}]}, "/landed/2/0.mp4 is not there"),
        ({"states": {"generate": "success", "land": "failed"}}, "land is failed after 1 attempts"),
        ({"states": {"generate": None, "land": "success"}}, "generate is None"),
        ({"ledger": {"generation_id": ID}}, f"{FAILED['id']} is neither in the ledger nor in the log"),
    ],
)
def test_violations_of_a_video_are_reported(change: dict[str, Any], expected: str) -> None:
    """Every promise broken for a video is a violation."""
    assert expected in "; ".join(violations(with_video(**change)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"files": {FILE: "other"}}, f"{FILE} is not what EvoLink delivers"),
        ({"delivered": {ID: ""}}, f"{FILE} is not what EvoLink delivers"),
        ({"files": {}}, f"{FILE} is not there"),
        ({"files": {FILE: DIGEST, "/landed/1/.part": "half"}}, "/landed/1/.part was left behind"),
        (
            {"unexpected": ["task-unified-9-abcdefgh"]},
            "task-unified-9-abcdefgh was accepted for a prompt that no task has",
        ),
        ({"leaked_keys": 2}, "shown to media hosts 2 times"),
        ({"timeout": 2400.0}, "given up after 2400 s"),
    ],
)
def test_violations_of_the_run_are_reported(change: dict[str, Any], expected: str) -> None:
    """Every promise broken for the run as a whole is a violation."""
    assert expected in "; ".join(violations(replace(GOOD, **change)))


def test_an_id_in_the_log_is_enough() -> None:
    """A generation that the ledger does not know can still be found from the log."""
    assert violations(with_video(ledger={}, log=f"{ID} and {FAILED['id']}")) == []


def test_a_second_charge_is_counted_and_never_landed() -> None:
    """A video that was charged twice is counted, and never counts as landed."""
    twice = with_video(generations=[CHARGED, SECOND])
    assert (twice.double_charges, twice.lost, twice.landed) == (1, 1, 0)


def test_the_report_has_all_figures() -> None:
    """Faults by endpoint, kills by target, the sums, the violations, and what was not exercised."""
    state = {
        "generations": [FAILED, CHARGED],
        "requests": {"submit": 3, "read": 12, "batch": 8, "media": 2},
        "faults": [
            {"name": "slow_response", "on": ["read"], "fired": 4},
            {"name": "slow_response", "on": ["read"], "fired": 1},
            {"name": "slow_response", "on": ["media"], "fired": 2},
        ],
    }
    figures = Figures(7, state, {"worker": 5, "scheduler": 1}, 90.0)

    text = report(GOOD, violations(GOOD), figures)

    for line in (
        "| seed | 7 |",
        "| charged twice | 0 |",
        "| generations accepted | 2 (1 completed, 1 failed) |",
        "| attempts to generate | 3.0 on average, 3 median, 3 at most |",
        "| most requests for one submission | 2 |",
        "| wall time | 1.5 min |",
        "| slow_response |  | 5 |  | 2 |",
        "| worker | 5 |",
        "Nothing is wrong.",
    ):
        assert line in text.splitlines()
    assert figures.not_exercised(["worker", "triggerer"]) == ["triggerer"]
    assert "WRONG: the run was given up after 60 s" in report(GOOD, ["the run was given up after 60 s"], figures)
