# SPDX-License-Identifier: Apache-2.0
"""What a batch logs while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

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


def test_how_far_it_is_can_be_seen_before_it_ends(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A batch that defers, or waits on its worker, leaves for the tabs of which try it is and how far."""
    evolink.control.set_speed(60)  # so that the second try has something to wait for
    with pytest.raises(TaskDeferred):
        batch(rows(3), tmp_path).execute(harness.context)
    deferred = harness.ti.xcoms.pop("evolink_progress")
    assert deferred["try_number"] == 1
    assert "0 of 3 rows have landed, 3 under way" in deferred["text"]

    harness.ti.try_number = 2
    run(harness, batch(rows(3), tmp_path, deferrable=False))
    assert harness.ti.xcoms["evolink_progress"]["try_number"] == 2


def test_progress_that_can_not_be_kept_fails_nothing(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch whose progress Airflow does not take goes on all the same."""
    push = harness.ti.xcom_push

    def refuse(key: str, value: Any) -> None:
        if key == "evolink_progress":
            raise RuntimeError("the API server is down")
        push(key, value)

    monkeypatch.setattr(harness.ti, "xcom_push", refuse)
    assert run(harness, batch(rows(1), tmp_path))["landed"] == 1


def test_one_is_singular() -> None:
    """Lines about a single generation are English, too."""
    line = progress_line(1, 1, failures={}, elapsed=10.0, now=0.0)

    assert line.startswith("1 of 1 generation has ended")
    assert "(1 generation)" in batch_trigger_stopped(1, cost=None)
