# SPDX-License-Identifier: Apache-2.0
"""The invariants of the crash suite find every violation, and its table shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.result import batch_trigger_stopped, left_running, trigger_stopped
from tests.crash.batch_failpoints import ROWS
from tests.crash.batch_run import EARLIER_MANIFEST, BatchFacts
from tests.crash.invariants import Facts
from tests.crash.table import Row, table

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
    log=f"This request was sent before, with idempotency key {KEY}",
    xcom={},
    ledger={"phase": "intent", "idempotency_key": KEY},
    returned=[],
    files={},
    may_resend=False,
    may_stop=True,
)
SECOND = {"id": "task-unified-2-abcdefgh", "charged": 68.0, "idempotency_key": "another"}


def test_one_charge_and_one_complete_file_violate_nothing() -> None:
    """The intended outcome violates nothing."""
    assert GOOD.violations() == []
    assert (GOOD.charges, GOOD.landed) == (1, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"generations": [*GOOD.generations, SECOND]}, "2 generations"),
        ({"generations": []}, "nothing was accepted"),
        ({"may_resend": False}, "2 submissions were sent"),
        ({"log": ""}, "not in the log"),
        ({"xcom": {}}, "not in the XCom"),
        ({"ledger": {}}, "not in the ledger"),
        ({"delivered": {}}, "has not ended"),
        ({"files": {}, "returned": []}, "has not landed"),
        ({"files": {FILE: DIGEST, "/landed/.part": "half"}}, "/landed/.part is not"),
        ({"uploads": ["landed/0.mp4"]}, "landed/0.mp4 has not ended"),
        ({"files": {FILE: DIGEST, "/landed/1.mp4": DIGEST}}, "returned {"),
        ({"tasks": {"generate": "success", "land": "queued"}}, "land is queued"),
    ],
)
def test_violations_are_reported(change: dict[str, Any], expected: str) -> None:
    """Every broken promise is a violation."""
    assert expected in "; ".join(replace(GOOD, **change).violations())


def test_a_reported_stop_violates_nothing() -> None:
    """A lost response may fail the task, whether or not EvoLink has accepted the submission."""
    assert STOP.violations() == []
    assert replace(STOP, submissions=0, generations=[], delivered={}).violations() == []


@pytest.mark.parametrize(
    ("change", "expected"),
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
def test_an_unreported_stop_is_a_violation(change: dict[str, Any], expected: str) -> None:
    """A failure that submits again, hangs or reports too little is no better than a second charge."""
    assert expected in "; ".join(replace(STOP, **change).violations())


def test_a_log_says_whether_the_task_was_stopped() -> None:
    """Only the operator's own message counts, not that EvoLink was unreachable for a while."""
    assert not replace(GOOD, log=f"{ID}: could not be read. The generation goes on at EvoLink").reports_stop()
    assert replace(GOOD, log=f"Killed. {left_running(ID, 'evolink_default', cost=None)}").reports_stop()


def test_a_log_says_what_stays_paid_for() -> None:
    """A stopped trigger's message is found by the id, and is not that of a stopped task."""
    stopped = replace(GOOD, log=trigger_stopped(ID, "evolink_default", cost=68.0))
    assert stopped.reports_charge()
    assert not stopped.reports_stop()
    assert not GOOD.reports_charge()


def test_a_stopped_run_must_be_traceable() -> None:
    """The ledger leads to a generation by its id, or by the idempotency key that it was submitted with."""
    assert replace(GOOD, ledger={"idempotency_key": KEY}).untraceable() == []
    assert replace(GOOD, ledger={}).untraceable() == [f"{ID} can't be found from the ledger"]


def test_the_table_shows_stuck_runs_and_violations() -> None:
    """One line for each cell, and the violations below."""
    lines = table([Row("deferred", "worker", 1, 1, 4.4, 2, ()), Row("deferred", "api", 2, 0, None, 1, ("paid",))])

    assert "| deferred | worker | 1 | 1 | 4 | 2 | ok |" in lines
    assert "| deferred | api | 2 | 0 | stuck | 1 | WRONG |" in lines
    assert lines.endswith("deferred, api: paid")


def test_a_batch_says_whether_it_was_stopped_and_what_stays_paid_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A stopped batch and a stopped trigger are distinguished by the operator's and the trigger's own messages."""
    facts = BatchFacts({}, [], {}, {}, None, {}, "", None, None)
    EvoLinkBatchOperator(task_id="batch", requests=[], key="sku", destination="/landed").on_kill()
    killed = replace(facts, log=capsys.readouterr().out)
    stopped = replace(facts, log=batch_trigger_stopped(ROWS, cost=15.0))

    assert (killed.reports_stop(), killed.reports_charge()) == (True, False)
    assert (stopped.reports_stop(), stopped.reports_charge()) == (False, True)


def test_a_batch_that_is_stopped_keeps_the_earlier_manifest_and_loses_no_generation() -> None:
    """Half a manifest, and a generation that nothing leads to, are violations before the clear, too."""
    generation = {"id": ID, "prompt": "one", "charged": 2.5, "idempotency_key": KEY}
    facts = BatchFacts({"A0": "one"}, [generation], {}, {}, EARLIER_MANIFEST, {}, KEY, None, None)
    assert facts.untraceable() == []
    assert replace(facts, manifest='{"key": "A0"', log="").untraceable() == [
        f"{ID} is neither in the ledger nor in the log",
        "the manifest is cut off",
    ]


def test_a_second_generation_for_a_row_is_a_violation_even_if_it_was_not_charged() -> None:
    """Nothing fails in this suite, so each row needs one generation."""
    generations = [{"id": name, "prompt": "one", "charged": 0.0, "idempotency_key": KEY} for name in ("1", "2")]
    assert (
        "2 generations were accepted"
        in BatchFacts({"A0": "one"}, generations, {}, {}, None, {}, "", None, None).violations()
    )
