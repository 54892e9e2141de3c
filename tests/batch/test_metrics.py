# SPDX-License-Identifier: Apache-2.0
"""What a batch reports to metrics: each fact about what it has paid for once, whatever happens to its rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution import metrics
from airflow_provider_evolink.submission.measures import Measure
from tests.batch.batches import batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, failure_of
from tests.task_harness import TaskHarness


@pytest.fixture
def totals(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The sum of what was reported, by the last part of its name."""
    found: Counter[str] = Counter()

    def send(each: Measure) -> None:
        found[each.name.split(".")[1]] += each.value  # type: ignore[assignment]

    monkeypatch.setattr(metrics, "_are_on", lambda: True)
    monkeypatch.setattr(metrics, "_send", send)
    return found


def check(totals: Counter[str], emulator: EmulatorHandle, count: int) -> None:
    """Compare what was reported with what EvoLink has accepted, made and charged."""
    assert (totals["submissions"], totals["completions"]) == (count, count)
    assert totals["credits_used"] == pytest.approx(emulator.control.state()["credits"]["charged"])


def test_a_file_that_lands_again(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, totals: Counter[str]
) -> None:
    """A row whose file is gone lands again without counting again; a new generation of it counts."""
    operator = batch(rows(3), tmp_path)
    lines = manifest(run(harness, operator))
    check(totals, evolink, 3)
    Path(lines[1]["uris"][0].removeprefix("file://")).unlink()

    assert_all_landed(clear(harness, operator), rows(3), evolink)

    check(totals, evolink, 3)
    clear(harness, batch(rows(3), tmp_path, on_clear="resubmit"))
    check(totals, evolink, 6)


@pytest.mark.parametrize("status", [402, 422])
def test_a_rejected_resubmission(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, totals: Counter[str], status: int
) -> None:
    """A record that is restored, since what was to replace it was rejected, is no new submission."""
    evolink.control.set_speed(0.01)
    first = batch(rows(2), tmp_path, timeout=1, deferrable=False)
    failure_of(run, harness, first)
    evolink.control.set_speed(2000)
    evolink.control.inject("http_error", on="submit", times=None, status=status)
    reserved = totals["credits_reserved"]

    failure_of(retry, harness, batch(rows(2, prompt="Another"), tmp_path, on_changed_input="resubmit"))

    assert (totals["submissions"], totals["credits_reserved"]) == (2, reserved)
