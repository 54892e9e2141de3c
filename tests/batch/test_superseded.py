# SPDX-License-Identifier: Apache-2.0
"""A try that another one has superseded reports nothing: to it, the ledger looks empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, rows, run, stored_rows
from tests.batch.outcomes import submissions
from tests.task_harness import Store, TaskHarness, TaskInstance, ledger_in_files


class SupersededStore(Store):
    """A store as Airflow 3.3 serves it to a try that is superseded after it has landed everything.

    Its task instance is gone, so every entry is "not found", and writes are refused.
    """

    is_superseded = False

    def get(self, key: str, default: Any = None) -> Any:
        """Return the default, once the try is superseded."""
        return default if self.is_superseded else super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Refuse, once the try is superseded."""
        if self.is_superseded:
            raise RuntimeError("Task Instance not found")
        super().set(key, value, retention=retention)
        phases = {row.get("record", {}).get("phase") for row in stored_rows(value)}
        self.is_superseded = phases == {"finished"}


def test_a_superseded_try_leaves_the_manifest_alone(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """It must not replace a later try's manifest by one that says that nothing was ever submitted."""
    emulator.control.set_speed(1000)
    manifest = tmp_path / "manifest-task.jsonl"
    manifest.write_text("of a later try")

    with pytest.raises(LedgerError, match="was not reported"):
        run(TaskHarness(store=SupersededStore()), batch(rows(2), tmp_path, poll_interval=1))

    assert manifest.read_text() == "of a later try"


def test_a_late_try_leaves_the_manifest_of_a_later_one_alone(
    emulator: EmulatorHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a ledger in files, a try that wakes up after a later one has reported neither pays nor reports."""
    emulator.control.set_speed(1000)
    (tmp_path / "ledgers").mkdir()
    ledger_in_files(monkeypatch, tmp_path / "ledgers")
    summary = run(TaskHarness(ti=TaskInstance(try_number=2)), batch(rows(2), tmp_path, poll_interval=1))
    manifest, sent = Path(summary["manifest"].removeprefix("file://")), submissions(emulator)
    before = manifest.read_bytes()

    with pytest.raises(LedgerError, match="superseded"):
        run(TaskHarness(), batch(rows(3), tmp_path, poll_interval=1))

    assert manifest.read_bytes() == before
    assert submissions(emulator) == sent
