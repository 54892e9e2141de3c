from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.operators.reports import trigger_stopped
from tests.crash.table import Row, table
from tests.crash.verdict import Facts, complaints, complaints_about_a_stop, says_stopped, says_what_is_paid, untraceable

ID, KEY, DIGEST, FILE = "task-unified-1-abcdefgh", "airflow-0123456789", "5ha", "/landed/0.mp4"
GOOD = Facts(
    generations=[{"id": ID, "charged": 68.0, "idempotency_key": KEY}],
    submissions=2,
    delivered={ID: DIGEST},
    tasks={"generate": "success", "land": "success"},
    log=f"Generation {ID}: submitted",
    xcom={"generation_id": ID},
    ledger={"generation_id": ID},
    returned=[{"uri": f"file://{FILE}", "sha256": DIGEST}],
    files={FILE: DIGEST},
)
STOP = replace(
    GOOD,
    submissions=1,
    tasks={"generate": "failed", "land": "upstream_failed"},
    log=f"An earlier try sent this request with idempotency key {KEY}",
    xcom={},
    ledger={"phase": "intent", "idempotency_key": KEY},
    returned=[],
    files={},
)
SECOND = {"id": "task-unified-2-abcdefgh", "charged": 68.0, "idempotency_key": "another"}


def test_one_charge_and_one_whole_file_is_right() -> None:
    """What all cells shall look like is not complained about."""
    assert complaints(GOOD) == []
    assert (GOOD.charges, GOOD.landed) == (1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generations": [*GOOD.generations, SECOND]}, "2 generations"),
        ({"generations": []}, "nothing was accepted"),
        ({"log": ""}, "not in the log"),
        ({"xcom": {}}, "not in the XCom"),
        ({"ledger": {}}, "not in the ledger"),
        ({"delivered": {}}, "has not ended"),
        ({"files": {}, "returned": []}, "has not landed"),
        ({"files": {FILE: DIGEST, "/landed/.part": "half"}}, "/landed/.part is not"),
        ({"uploads": ["landed/0.mp4"]}, "landed/0.mp4 has not ended"),
        ({"files": {FILE: DIGEST, "/landed/1.mp4": DIGEST}}, "told were"),
        ({"tasks": {"generate": "success", "land": "queued"}}, "land is queued"),
    ],
)
def test_what_must_not_be_is_told(change: dict[str, Any], said: str) -> None:
    """Every promise that is broken has its complaint."""
    assert said in "; ".join(complaints(replace(GOOD, **change)))


def test_a_stop_with_the_facts_is_right() -> None:
    """Whether or not EvoLink has accepted it, a submission whose answer is lost may end its task."""
    assert complaints_about_a_stop(STOP) == []
    assert complaints_about_a_stop(replace(STOP, submissions=0, generations=[], delivered={})) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"submissions": 2}, "2 submissions"),
        ({"generations": [*GOOD.generations, SECOND]}, "can't be found from the ledger"),
        ({"log": ""}, f"{KEY} is not in the log"),
        ({"ledger": {}}, "no key is not in the log"),
        ({"tasks": {"generate": "success", "land": "success"}}, "generate is success"),
        ({"tasks": {"generate": "up_for_retry", "land": None}}, "generate is up_for_retry"),
        ({"files": {FILE: "half"}}, f"{FILE} is not"),
    ],
)
def test_a_stop_without_the_facts_is_told(change: dict[str, Any], said: str) -> None:
    """A stop that sends again, hangs, or says too little is no better than a second charge."""
    assert said in "; ".join(complaints_about_a_stop(replace(STOP, **change)))


def test_a_log_says_whether_the_task_was_stopped() -> None:
    """Only the generation's own line counts, not that EvoLink was out of reach for a time."""
    assert not says_stopped(replace(GOOD, log=f"{ID}: could not be read. The generation goes on at EvoLink"))
    assert says_stopped(replace(GOOD, log=f"Told to stop. Generation {ID} goes on at EvoLink, which can't cancel it"))


def test_a_log_says_what_stays_paid_for() -> None:
    """What a trigger says when it is stopped is found by the id, and is no word of a stopped task."""
    said = replace(GOOD, log=trigger_stopped(ID, "evolink_default", cost=68.0))
    assert says_what_is_paid(said)
    assert not says_stopped(said)
    assert not says_what_is_paid(GOOD)


def test_a_stopped_run_must_be_traceable() -> None:
    """The ledger has to lead to a generation by its id, or by the key under which it was sent."""
    assert untraceable(replace(GOOD, ledger={"idempotency_key": KEY})) == []
    assert untraceable(replace(GOOD, ledger={})) == [f"{ID} can't be found from the ledger"]


def test_the_table_tells_what_is_stuck_and_what_is_wrong() -> None:
    """One line for each cell, and the complaints below."""
    lines = table([Row("deferred", "worker", 1, 1, 4.4, 2, ()), Row("deferred", "api", 2, 0, None, 1, ("paid",))])

    assert "| deferred | worker | 1 | 1 | 4 | 2 | ok |" in lines
    assert "| deferred | api | 2 | 0 | stuck | 1 | WRONG |" in lines
    assert lines.endswith("deferred, api: paid")
