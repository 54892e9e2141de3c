# SPDX-License-Identifier: Apache-2.0
"""What a batch logs while it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.polling.crowd import progress_line
from airflow_provider_evolink.result import batch_trigger_stopped
from tests.batch.batches import batch, rows, run
from tests.task_harness import TaskHarness


def test_a_worker_that_waits_logs_at_a_bounded_rate(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker with a window of one row goes on for each row; it says how far it is once a minute and at the end."""
    run(harness, batch(rows(6), tmp_path, max_in_flight=1, deferrable=False))

    lines = [line for line in capsys.readouterr().out.splitlines() if "landed" in line or "waiting for" in line]
    assert len(lines) == 2
    assert "6 of 6 rows have landed" in lines[-1]
    assert "manifest-task.jsonl" in lines[-1]


def test_one_is_singular() -> None:
    """Lines about a single generation are English, too."""
    line = progress_line(1, 1, failures={}, elapsed=10.0, now=0.0)

    assert line.startswith("1 of 1 generation has ended")
    assert "(1 generation)" in batch_trigger_stopped(1, cost=None)
