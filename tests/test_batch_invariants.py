# SPDX-License-Identifier: Apache-2.0
"""The invariants of a batch find every violation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.batch_invariants import Batch, broken_manifest, untraceable, violations

ID, OTHER_ID = "task-unified-1-abcdefgh", "task-unified-2-abcdefgh"
FIRST = {"id": ID, "prompt": "one", "charged": 2.5, "idempotency_key": "airflow-1"}
SECOND = {"id": OTHER_ID, "prompt": "two", "charged": 10.0, "idempotency_key": "airflow-2"}
FAILED = {"id": "task-unified-0-abcdefgh", "prompt": "one", "charged": 0.0, "idempotency_key": "airflow-0"}
FILES = {"file:///landed/A0/0.png": ("5ha-1", 3), "file:///landed/A1/0.png": ("5ha-2", 5)}


def line(key: str, generation: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the line of a landed row."""
    uri = f"file:///landed/{key}/0.png"
    sha256, size = FILES[uri]
    about = {"key": key, "status": "landed", "model": "m", "prompt": generation["prompt"]}
    files = {"generation_id": generation["id"], "uris": [uri], "posters": [None], "bytes": [size], "sha256": [sha256]}
    cost = {"seconds": 60.5, "credits": generation["charged"], "error": None, "tries": 1}
    return {**about, **files, **cost, **changes}


def manifest(*lines: dict[str, Any]) -> str:
    """Return the text of a manifest."""
    return "".join(json.dumps(item) + "\n" for item in lines)


LINE, OTHER_LINE = line("A0", FIRST), line("A1", SECOND)
GOOD = Batch(
    prompts={"A0": "one", "A1": "two"},
    generations=[FAILED, FIRST, SECOND],
    delivered={ID: "5ha-1", OTHER_ID: "5ha-2"},
    files=FILES,
    manifest=manifest(LINE, OTHER_LINE),
    ledger={"A0": {"generation_id": ID, "previous_ids": [FAILED["id"]]}, "A1": {"generation_id": OTHER_ID}},
    log="",
    state="success",
    summary={
        "manifest": "file:///landed/manifest.jsonl", "total": 2, "landed": 2, "skipped": 0, "failed": 0,
        "unfinished": 0, "credits_used": 12.5, "credits_reserved": 0,
    },
)  # fmt: skip


def test_rows_that_were_paid_for_once_and_landed_violate_nothing() -> None:
    """A failed generation that cost nothing violates nothing either; all figures agree."""
    assert violations(GOOD) == []
    assert (GOOD.charges, GOOD.double_charges, GOOD.landed, GOOD.lost) == (2, 0, 2, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"generations": [FAILED, FIRST, {**FIRST, "id": "again"}, SECOND]}, "A0: 2 generations were charged"),
        ({"generations": [FAILED, FIRST]}, "A1: 0 generations were charged: none"),
        ({"generations": [*GOOD.generations, {**FAILED, "prompt": "x"}]}, "was accepted for no row"),
        ({"files": {}}, "A0: file:///landed/A0/0.png is not there"),
        ({"files": {**FILES, "file:///landed/A0/0.png": ("half", 3)}}, "is not what EvoLink delivers"),
        ({"files": {**FILES, "file:///landed/.part": ("half", 1)}}, ".part was left behind"),
        ({"delivered": {}}, "is not what EvoLink delivers"),
        ({"manifest": None}, "there is no manifest"),
        ({"manifest": GOOD.manifest[:-1] if GOOD.manifest else None}, "the manifest is cut off"),
        ({"manifest": '{"key": "A0"\n'}, "not JSON Lines"),
        ({"manifest": '{"key": "A0"}\n'}, "has other fields"),
        ({"manifest": manifest(OTHER_LINE, LINE)}, "the manifest lists ['A1', 'A0']"),
        ({"manifest": manifest(LINE)}, "A1: it is in no manifest"),
        ({"manifest": manifest({**LINE, "status": "failed"}, OTHER_LINE)}, "the manifest says failed"),
        ({"manifest": manifest({**LINE, "generation_id": OTHER_ID}, OTHER_LINE)}, f"A0: the manifest names {OTHER_ID}"),
        ({"manifest": manifest({**LINE, "sha256": ["x"]}, OTHER_LINE)}, "is not what EvoLink delivers"),
        ({"manifest": manifest({**LINE, "bytes": [2]}, OTHER_LINE)}, "not as the manifest says"),
        ({"manifest": manifest({**LINE, "uris": []}, OTHER_LINE)}, "the manifest names []"),
        ({"manifest": manifest({**LINE, "credits": 5}, OTHER_LINE)}, "the manifest says 5 credits"),
        ({"manifest": manifest({**LINE, "tries": 0}, OTHER_LINE)}, "credits in 0 tries"),
        ({"ledger": {}}, f"{ID} is neither in the ledger nor in the log"),
        ({"state": "failed"}, "the task is failed"),
        ({"summary": None}, "the task returned {}"),
        ({"summary": {**(GOOD.summary or {}), "landed": 1}}, "the task returned"),
        ({"summary": {**(GOOD.summary or {}), "credits_used": 2}}, "the task says that 2 credits were used"),
    ],
)
def test_violations_are_reported(change: dict[str, Any], expected: str) -> None:
    """Every broken promise is a violation."""
    assert expected in "; ".join(violations(replace(GOOD, **change)))


def test_a_second_charge_is_counted_and_never_landed() -> None:
    """A row that was charged twice is counted, and never counts as landed."""
    twice = replace(GOOD, generations=[FAILED, FIRST, {**FIRST, "id": "again"}, SECOND])
    assert (twice.charges, twice.double_charges, twice.landed, twice.lost) == (3, 1, 1, 1)


def test_an_id_in_the_log_or_a_key_in_the_ledger_is_enough() -> None:
    """What an operator has to find a generation by may be in either place."""
    assert (
        untraceable(replace(GOOD, ledger={"A0": {"idempotency_key": "airflow-1"}}, log=f"{OTHER_ID} airflow-0")) == []
    )


def test_a_batch_on_its_way_keeps_the_earlier_manifest_or_a_whole_one() -> None:
    """Until the batch ends, what is at the manifest's place is never half a manifest."""
    assert broken_manifest(replace(GOOD, manifest="earlier"), earlier="earlier") == []
    assert broken_manifest(GOOD, earlier="earlier") == []
    assert broken_manifest(replace(GOOD, manifest="earl"), earlier="earlier") == ["the manifest is cut off"]
