# SPDX-License-Identifier: Apache-2.0
"""Tests of `airflow evolink forget` on ledgers that real tasks have written into Airflow's database."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import delete, insert, select

from tests.cli.conftest import Run
from tests.cli.paying_run import FOLDER, pay
from tests.loaded_dag import load_dag
from tests.marks import NO_STATE_STORES

_assets = pytest.importorskip("airflow.models.asset_state_store", reason=NO_STATE_STORES)
_tasks = pytest.importorskip("airflow.models.task_state_store", reason=NO_STATE_STORES)
AssetStateStoreModel, TaskStateStoreModel = _assets.AssetStateStoreModel, _tasks.TaskStateStoreModel


@dataclass(frozen=True)
class PaidRun:
    """A run whose tasks have paid."""

    dag: DAG
    run_id: str


@pytest.fixture(scope="module")
def dag() -> DAG:
    """The DAG, in a database without the records of other tests."""
    loaded = load_dag(FOLDER, "paying")
    _restore([(table, []) for table, _ in _rows()])
    return loaded


@pytest.fixture(scope="module")
def finished(dag: DAG, tmp_path_factory: pytest.TempPathFactory) -> PaidRun:
    """A finished run; the emulator that it has paid is gone, since no command here asks it for anything."""
    return PaidRun(dag, pay(dag, tmp_path_factory.mktemp("landed")))


@pytest.fixture
def paid(finished: PaidRun) -> Iterator[PaidRun]:
    """The run, whose ledgers are restored afterwards."""
    before = _rows()
    yield finished
    _restore(before)


def _rows() -> list[tuple[Any, list[dict[str, Any]]]]:
    """Return the rows of both stores."""
    with create_session() as session:
        tables = (TaskStateStoreModel.__table__, AssetStateStoreModel.__table__)
        return [(table, [dict(row) for row in session.execute(select(table)).mappings()]) for table in tables]


def _restore(tables: list[tuple[Any, list[dict[str, Any]]]]) -> None:
    with create_session() as session:
        for table, rows in tables:
            session.execute(delete(table))
            if rows:
                session.execute(insert(table), rows)


def _delete_run(run_id: str) -> None:
    from airflow.models.dagrun import DagRun

    with create_session() as session:
        for run in session.scalars(select(DagRun).where(DagRun.run_id == run_id)):
            session.delete(run)


def _sign_copies(task_id: str, run_id: str) -> None:
    """Name the writer of a task's copies, as Airflow does for every task but those of ``dag.test()``."""
    from airflow_provider_evolink.execution.task_state import copy_owner

    start = copy_owner("paying", run_id, task_id, -1)
    with create_session() as session:
        for row in session.scalars(select(AssetStateStoreModel)):
            if row.key.startswith(start):
                row.last_updated_by_kind, row.last_updated_by_map_index = "task", -1
                row.last_updated_by_dag_id, row.last_updated_by_run_id = "paying", run_id
                row.last_updated_by_task_id = task_id


def keys() -> set[tuple[str, str]]:
    """Return the keys of both stores, those of copies without their owners."""
    with create_session() as session:
        stored = {(row.task_id, row.key) for row in session.scalars(select(TaskStateStoreModel))}
        copies = session.scalars(select(AssetStateStoreModel))
        return stored | {("copy", row.key.partition(".")[2]) for row in copies}


@pytest.mark.filterwarnings("default")
def test_a_single_record(paid: PaidRun, run_command: Run) -> None:
    """The record is shown with its cost, and both it and its copy are removed; the others stay."""
    before = keys()
    ran = run_command("forget", "paying", "single", "--yes", "-o", "json")

    assert ran.code == 0
    [row] = json.loads(ran.out)
    assert row["generation_id"].startswith("task-unified-")
    assert (row["run_id"], row["map_index"], row["record"]) == (paid.run_id, -1, "evolink")
    assert (row["phase"], row["in"]) == ("finished", ["store", "copy"])
    assert row["credits"] > 0
    assert ran.err.endswith("Removed what was known of 1 submission: evolink.\n")
    assert {("single", "evolink")} <= before - keys()
    assert {task for task, _ in before - keys()} <= {"single", "copy"}
    again = run_command("forget", "paying", "single", "--yes")
    assert (again.code, again.out) == (1, "")


@pytest.mark.filterwarnings("default")
def test_mapped_tasks(paid: PaidRun, run_command: Run) -> None:
    """One instance or all of them."""
    one = run_command("forget", "paying", "mapped", "--map-index", "1", "--yes", "-o", "json")
    assert [row["map_index"] for row in json.loads(one.out)] == [1]

    others = run_command("forget", "paying", "mapped", "--run-id", paid.run_id, "--yes", "-o", "json")
    assert [row["map_index"] for row in json.loads(others.out)] == [0]
    assert run_command("forget", "paying", "mapped").code == 1


@pytest.mark.filterwarnings("default")
def test_a_batch(paid: PaidRun, run_command: Run) -> None:
    """Each row of a batch is shown; its chunks are removed with their copies."""
    ran = run_command("forget", "paying", "batch", "--yes", "-o", "json")

    assert [row["record"] for row in json.loads(ran.out)] == ["A1", "A2"]
    assert all(row["in"] == ["store", "copy"] and row["credits"] > 0 for row in json.loads(ran.out))
    assert [key for _, key in keys() if key.startswith("evolink-batch-")] == []


@pytest.mark.filterwarnings("default")
def test_python_code(paid: PaidRun, run_command: Run) -> None:
    """What a call of the hook and an operator executed by hand have paid for is shown, and removed with its copies."""
    ran = run_command("forget", "paying", "python", "--yes", "-o", "json")

    shown = {row["record"]: (row["phase"], row["in"]) for row in json.loads(ran.out)}
    assert shown == dict.fromkeys(["evolink-of-a-batch-1", "evolink:cover"], ("finished", ["store", "copy"]))
    assert {key for _, key in keys()} & {*shown} == set()
    assert run_command("forget", "paying", "python").code == 1


@pytest.mark.filterwarnings("default")
def test_a_deleted_run(paid: PaidRun, run_command: Run, tmp_path: Path) -> None:
    """Its copy is found, with or without the run's id, and removed."""
    _restore([(table, []) for table, _ in _rows()])
    run_id = pay(paid.dag, tmp_path)
    _sign_copies("single", run_id)
    _delete_run(run_id)
    shown = run_command("forget", "paying", "single", "-o", "json")
    assert [(row["run_id"], row["in"]) for row in json.loads(shown.out)] == [(run_id, ["copy"])]

    assert run_command("forget", "paying", "single", "--run-id", run_id, "--yes").code == 0
    assert run_command("forget", "paying", "single").code == 1


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 3), ("\n", 3), ("", 3)])
@pytest.mark.filterwarnings("default")
def test_it_asks_first(
    paid: PaidRun, run_command: Run, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """Only a clear yes removes anything; nobody at the terminal is no yes."""
    before = keys()
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    ran = run_command("forget", "paying", "single")

    assert ran.code == code
    assert "credits" in ran.err
    assert (keys() == before) is (code == 3)


@pytest.mark.parametrize("state", ["running", "deferred", "queued"])
@pytest.mark.filterwarnings("default")
def test_a_task_under_way(paid: PaidRun, run_command: Run, state: str) -> None:
    """A task that would write its record again, or has just sent something, keeps it."""
    from airflow.models.taskinstance import TaskInstance

    def set_state(state: str) -> None:
        with create_session() as session:
            query = select(TaskInstance).where(TaskInstance.task_id == "single", TaskInstance.run_id == paid.run_id)
            session.scalars(query).one().state = state

    set_state(state)
    before = keys()
    ran = run_command("forget", "paying", "single", "--yes")

    assert ran.code == 1
    assert "under way" in ran.err
    assert keys() == before
    set_state("success")


@pytest.mark.filterwarnings("default")
def test_several_runs(paid: PaidRun, run_command: Run, tmp_path: Path) -> None:
    """All are shown, and nothing is removed until one is named."""
    other = pay(paid.dag, tmp_path)
    before = keys()
    ran = run_command("forget", "paying", "single", "--yes", "-o", "json")

    assert ran.code == 2
    assert {row["run_id"] for row in json.loads(ran.out)} == {paid.run_id, other}
    assert keys() == before
    assert run_command("forget", "paying", "single", "--run-id", other, "--yes").code == 0
    _delete_run(other)


@pytest.mark.filterwarnings("default")
def test_an_unreadable_record(paid: PaidRun, run_command: Run) -> None:
    """What no task can read any more can be removed: that is what the error of such a task asks for."""
    with create_session() as session:
        for row in session.scalars(select(TaskStateStoreModel)):
            if row.key in {"evolink", "evolink-batch-0"}:
                row.value = '{"phase": "?"}'
    for task in ("single", "batch"):
        ran = run_command("forget", "paying", task, "--yes", "-o", "json")
        assert ran.code == 0
        assert "unreadable" in {row["phase"] for row in json.loads(ran.out)}


@pytest.mark.filterwarnings("default")
def test_the_audit_log_has_it(paid: PaidRun, run_command: Run) -> None:
    """Who has removed what is in Airflow's own log."""
    from airflow.models.log import Log

    run_command("forget", "paying", "single", "--yes")
    with create_session() as session:
        [entry, *_] = session.scalars(select(Log).where(Log.event == "cli_forget_evolink_ledger")).all()
        assert (entry.dag_id, entry.task_id) == ("paying", "single")


def test_nothing_to_forget(dag: DAG, run_command: Run) -> None:
    """A task without a record is one line."""
    ran = run_command("forget", "nothing", "here", "--run-id", "x", "--map-index", "3")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
