# SPDX-License-Identifier: Apache-2.0
"""A link that is dead before its time may be alive again later: nothing that is paid for is given up."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, retry, rows, run
from tests.batch.outcomes import assert_all_landed, failure_of, submissions
from tests.task_harness import TaskHarness

ROWS = rows(2)


def test_a_retry_lands_a_row_whose_links_were_dead(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """The link and its renewed one are refused within the hour: the row is unfinished, and the next try lands it."""
    operator = batch(ROWS, tmp_path, max_in_flight=1)
    evolink.control.inject("expired_link", "media", times=2)

    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    assert "so this may be temporary" in str(failure)
    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert submissions(evolink) == len(ROWS)
