# SPDX-License-Identifier: Apache-2.0
"""What has landed is recorded while others land: a crash then costs few downloads, and no file whose link has died."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_evolink.batch import run as batch_run
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, rows, run, stored_rows
from tests.task_harness import TaskHarness

ROWS = rows(4)


def finished_by_write(harness: TaskHarness) -> list[int]:
    """Return how many rows had landed at each write of the chunk."""
    chunks = map(stored_rows, harness.store.writes)
    return [sum(row["record"]["phase"] == "finished" for row in chunk) for chunk in chunks]


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, [1, 2, 3, 4]), (3600.0, [4])])
def test_landings_are_recorded_at_intervals(
    evolink: EmulatorHandle,
    harness: TaskHarness,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    expected: list[int],
) -> None:
    """Rows are recorded with the next one that lands after the interval, and all of them with the last."""
    monkeypatch.setattr(batch_run, "RECORD_SECONDS", seconds)
    run(harness, batch(ROWS, tmp_path))
    assert [count for count in finished_by_write(harness) if count] == expected
