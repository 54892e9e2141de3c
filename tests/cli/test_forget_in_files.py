# SPDX-License-Identifier: Apache-2.0
"""Tests of `airflow evolink forget` on ledgers that real tasks have written into numbered files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_evolink.compat import has_state_stores
from tests.cli.conftest import Run
from tests.cli.paying_run import FOLDER, pay
from tests.loaded_dag import load_dag

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the ledgers of a run that has paid, and of which Airflow remembers nothing."""
    folder = tmp_path_factory.mktemp("ledgers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__EVOLINK__LEDGER_PATH", f"file://{folder}")
        pay(load_dag(FOLDER, "paying"), tmp_path_factory.mktemp("landed"))
    if has_state_stores():
        _empty_stores()
    return folder


@pytest.fixture
def ledgers(paid: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which is configured."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__LEDGER_PATH", f"file://{paid}")
    return paid


def _empty_stores() -> None:
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(TaskStateStoreModel))
        session.execute(delete(AssetStateStoreModel))


def newest(folder: Path) -> Path:
    """Return the newest record of a log."""
    return max(folder.glob("*.json"))


def test_a_single_record(ledgers: Path, run_command: Run) -> None:
    """It is shown with its cost, then forgotten, while its history stays; and a later look finds nothing."""
    [folder] = (ledgers / "paying" / "single").glob("*/evolink")
    before = sorted(folder.iterdir())
    ran = run_command("forget", "paying", "single", "--yes", "-o", "json")

    assert ran.code == 0
    [row] = json.loads(ran.out)
    assert (row["map_index"], row["record"], row["phase"], row["in"]) == (-1, "evolink", "finished", ["files"])
    assert row["credits"] > 0
    assert sorted(folder.iterdir())[:-1] == before
    assert "value" not in json.loads(newest(folder).read_bytes())
    assert run_command("forget", "paying", "single", "--run-id", row["run_id"], "--yes").code == 1


def test_mapped_tasks(ledgers: Path, run_command: Run) -> None:
    """One instance or all of them."""
    ran = run_command("forget", "paying", "mapped", "--map-index", "1", "--yes", "-o", "json")
    assert [row["map_index"] for row in json.loads(ran.out)] == [1]

    others = run_command("forget", "paying", "mapped", "--yes", "-o", "json")
    assert [row["map_index"] for row in json.loads(others.out)] == [0]
    assert len(list((ledgers / "paying" / "mapped").iterdir())) == 2


def test_a_batch(ledgers: Path, run_command: Run) -> None:
    """Each row of a batch is shown, and all of its chunks are forgotten."""
    ran = run_command("forget", "paying", "batch", "--yes", "-o", "json")

    assert [row["record"] for row in json.loads(ran.out)] == ["A1", "A2"]
    assert all(row["in"] == ["files"] and row["credits"] > 0 for row in json.loads(ran.out))
    assert run_command("forget", "paying", "batch").code == 1


def test_unreadable_records(ledgers: Path, run_command: Run) -> None:
    """What no task can read is shown by its name, and can be forgotten."""
    for name in ("evolink-of-a-batch-1", "evolink-cover~*"):
        [folder] = (ledgers / "paying" / "python").glob(f"*/{name}")
        newest(folder).write_text("?")
    ran = run_command("forget", "paying", "python", "--yes", "-o", "json")

    assert ran.code == 0
    assert {row["record"]: row["phase"] for row in json.loads(ran.out)} == dict.fromkeys(
        ["evolink-of-a-batch-1", "evolink:cover"], "unreadable"
    )
    assert run_command("forget", "paying", "python").code == 1


def test_a_storage_that_is_gone(ledgers: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that can't be used is one line, and not "no such record"."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__LEDGER_PATH", f"file://{ledgers}/gone")
    ran = run_command("forget", "paying", "single", "--yes")

    assert ran.code == 1
    assert "[evolink] ledger_path" in ran.err
    assert "gone" in ran.err
