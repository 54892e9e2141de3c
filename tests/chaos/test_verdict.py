from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.report import Figures, report
from tests.chaos.verdict import Facts, Video, complaints

ID, DIGEST, FILE = "task-unified-1-abcdefgh", "5ha", "/landed/1/0.mp4"
MADE = {"id": ID, "status": "completed", "charged": 29.8}
FAILED = {"id": "task-unified-0-abcdefgh", "status": "failed", "charged": 0.0}
SECOND = {"id": "task-unified-2-abcdefgh", "status": "completed", "charged": 29.8}
TOLD = {"uri": f"file://{FILE}", "sha256": DIGEST, "generation_id": ID}
VIDEO = Video(
    prompt="Lighthouse number 0",
    generations=[FAILED, MADE],
    states={"generate": "success", "land": "success"},
    tries={"generate": 3, "land": 1},
    ledger={"generation_id": ID, "previous_ids": [FAILED["id"]], "send_count": 2},
    log="",
    told=[TOLD],
)
GOOD = Facts(videos=[VIDEO], delivered={ID: DIGEST}, files={FILE: DIGEST})


def with_video(**changes: Any) -> Facts:
    """The good facts, but for something about the video."""
    return replace(GOOD, videos=[replace(VIDEO, **changes)])


def test_one_charge_and_its_whole_file_is_right() -> None:
    """A failed generation before it, which costs nothing, is no fault; all figures say so."""
    assert complaints(GOOD) == []
    assert (GOOD.double_charges, GOOD.lost, GOOD.landed) == (0, 0, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generations": [MADE, SECOND]}, "2 generations were charged"),
        ({"generations": [FAILED]}, "0 generations were charged: none"),
        ({"generations": [FAILED, SECOND]}, f"{ID} has landed, and was not charged"),
        ({"told": []}, "0 files were told"),
        ({"told": [TOLD, TOLD]}, "2 files were told"),
        ({"told": [{**TOLD, "sha256": "other"}]}, "is not what EvoLink delivers"),
        ({"told": [{**TOLD, "uri": "file:///landed/2/0.mp4"}]}, "/landed/2/0.mp4 is not there"),
        ({"states": {"generate": "success", "land": "failed"}}, "land is failed after 1 tries"),
        ({"states": {"generate": None, "land": "success"}}, "generate is None"),
        ({"ledger": {"generation_id": ID}}, f"{FAILED['id']} is neither in the ledger nor in the log"),
    ],
)
def test_what_must_not_be_of_a_video_is_told(change: dict[str, Any], said: str) -> None:
    """Every promise that is broken for a video has its complaint."""
    assert said in "; ".join(complaints(with_video(**change)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": {FILE: "other"}}, f"{FILE} is not what EvoLink delivers"),
        ({"delivered": {ID: ""}}, f"{FILE} is not what EvoLink delivers"),
        ({"files": {}}, f"{FILE} is not there"),
        ({"files": {FILE: DIGEST, "/landed/1/.part": "half"}}, "/landed/1/.part was left behind"),
        ({"strangers": ["task-unified-9-abcdefgh"]}, "task-unified-9-abcdefgh was accepted, and nobody wished"),
        ({"leaked_keys": 2}, "shown to media hosts 2 times"),
        ({"timeout": 2400.0}, "given up after 2400 s"),
    ],
)
def test_what_must_not_be_of_all_is_told(change: dict[str, Any], said: str) -> None:
    """So has everything that is not about one video only."""
    assert said in "; ".join(complaints(replace(GOOD, **change)))


def test_an_id_in_the_log_is_enough() -> None:
    """A generation that the ledger does not know can still be found from the log."""
    assert complaints(with_video(ledger={}, log=f"{ID} and {FAILED['id']}")) == []


def test_a_second_charge_is_counted_and_is_not_landed() -> None:
    """The figures tell how many were charged twice, and never call such a video landed."""
    twice = with_video(generations=[MADE, SECOND])
    assert (twice.double_charges, twice.lost, twice.landed) == (1, 1, 0)


def test_the_report_has_all_figures() -> None:
    """Faults by endpoint, kills by victim, the sums, what is wrong, and who was spared."""
    state = {
        "generations": [FAILED, MADE],
        "requests": {"submit": 3, "read": 20, "media": 2},
        "faults": [
            {"name": "slow_response", "on": ["read"], "fired": 4},
            {"name": "slow_response", "on": ["read"], "fired": 1},
            {"name": "slow_response", "on": ["media"], "fired": 2},
        ],
    }
    figures = Figures(7, state, {"worker": 5, "scheduler": 1}, 90.0)

    text = report(GOOD, figures)

    for line in (
        "| seed | 7 |",
        "| charged twice | 0 |",
        "| generations accepted | 2 (1 completed, 1 failed) |",
        "| tries to generate | 3.0 on average, 3 median, 3 at most |",
        "| most sendings of one submission | 2 |",
        "| wall time | 1.5 min |",
        "| slow_response |  | 5 | 2 |",
        "| worker | 5 |",
        "Nothing is wrong.",
    ):
        assert line in text.splitlines()
    assert figures.spared(["worker", "triggerer"]) == ["triggerer"]
    assert "WRONG: it was given up after 60 s" in report(replace(GOOD, timeout=60.0), figures).splitlines()
