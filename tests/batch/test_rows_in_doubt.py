# SPDX-License-Identifier: Apache-2.0
"""Rows that may have been accepted: whatever fails next, nothing makes them look as if they had never been sent."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.entry import RowEntry
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from tests.batch.batches import batch, retry, rows, run
from tests.batch.outcomes import assert_all_landed, charges, failure_of, lines_of, submissions
from tests.task_harness import FailingStore, Store, TaskHarness

LOG = logging.getLogger(__name__)
pytestmark = pytest.mark.usefixtures("each_ledger")

ROWS = rows(3)


class Changing(Sequence[Mapping[str, Any]]):
    """Rows that change once they have been read so many times."""

    def __init__(self, reads: int) -> None:
        self.reads = reads

    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, index: Any) -> Any:
        return ROWS[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        self.reads -= 1
        changed = {"prompt": "Something else"} if self.reads < 0 else {}
        return iter([{**row, **changed} for row in ROWS])


def test_a_refused_write_withdraws_only_what_it_was_to_send() -> None:
    """If the store refuses a wave's intents, the copy keeps those that an earlier wave of the chunk has sent."""
    sent = LedgerRecord(Phase.INTENT, "fp", "key-1", 1, "model", 100.0, send_count=1, in_doubt_since=100.0)
    unsent = replace(sent, idempotency_key="key-2", intent_at=200.0)
    copy = Store()
    chunk = Chunk(0, {"A0": RowEntry("A0", record=sent), "A1": RowEntry("A1", record=unsent)})

    with pytest.raises(LedgerError):
        BatchLedger(FailingStore(1), None, "batch", 1, copy, 0.0, LOG).write(chunk, first_sends={"A1"})
    found = BatchLedger(Store(), None, "batch", 2, copy, 0.0, LOG).read(0)

    assert found is not None
    assert found.rows["A0"].record == sent
    assert found.rows["A1"].record is not None
    assert found.rows["A1"].record.phase is Phase.WITHDRAWN


def test_another_request_is_not_sent_under_a_recorded_idempotency_key(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """If a row changes between its check and its replay, nothing is sent for it, and a retry finds out what to do."""
    evolink.control.inject("lost_response", on="submit", times=2 * len(ROWS), after=0)
    failure_of(run, harness, batch(ROWS, tmp_path))
    before = submissions(evolink)

    failure = failure_of(retry, harness, batch(Changing(reads=1), tmp_path))

    assert submissions(evolink) == before
    assert not failure.permanent
    assert {line["status"] for line in lines_of(failure).values()} == {"unfinished"}
    assert "changed" in lines_of(failure)["A0"]["error"]["text"]
    assert_all_landed(retry(harness, batch(ROWS, tmp_path)), ROWS, evolink)
    assert "Something else" not in charges(evolink)


def time_out(*_: object) -> NoReturn:
    """Do what Airflow does when a task has reached its ``execution_timeout``."""
    raise AirflowTaskTimeout("Timeout")


def test_a_timeout_during_a_wave_keeps_the_ids_that_are_known(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """If one response is still awaited when the task times out, the rows with a response are not in doubt."""
    evolink.control.inject("slow_response", on="submit", seconds=30)
    operator = batch(ROWS, tmp_path, on_unknown_submission="fail")
    previous = signal.signal(signal.SIGALRM, time_out)
    signal.setitimer(signal.ITIMER_REAL, 3.0)
    try:
        with pytest.raises(AirflowTaskTimeout):
            run(harness, operator)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
    assert submissions(evolink) == len(ROWS)

    failure = failure_of(retry, harness, operator)

    lines = lines_of(failure)
    assert sorted(line["status"] for line in lines.values()) == ["failed", "landed", "landed"]
    assert submissions(evolink) == len(ROWS)


def test_a_row_that_is_removed_while_in_doubt_is_named(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may have been paid for: the log names its idempotency key, and what the try takes up of the others."""
    evolink.control.inject("lost_response", on="submit", times=2 * len(ROWS), after=0)
    failure_of(run, harness, batch(ROWS, tmp_path))
    keys = {generation["idempotency_key"] for generation in evolink.control.state()["generations"]}
    assert len(keys) == len(ROWS)

    capsys.readouterr()

    retry(harness, batch(ROWS[1:], tmp_path))

    log = capsys.readouterr().out
    (left_alone,) = (line for line in log.splitlines() if "Left alone" in line)
    assert "perhaps paid for, 1, with their idempotency keys: A0 (airflow-" in left_alone
    assert "Nothing was paid" not in left_alone
    assert sum(key in left_alone for key in keys) == 1
    assert "Taken up from earlier tries: 2 rows sent again under the same idempotency key." in log
