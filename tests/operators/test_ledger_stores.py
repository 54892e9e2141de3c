# SPDX-License-Identifier: Apache-2.0
"""The ledger on difficult stores: values in objects, clears that empty them, several callers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, BaseOperator, ObjectStoragePath

from airflow_provider_evolink.api.errors import LedgerError, SubmissionUnknownError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from tests.marks import needs_state_stores
from tests.operators.submissions import accepted, operator
from tests.task_harness import FailingStore, Store, TaskHarness, TaskInstance

pytestmark = pytest.mark.usefixtures("no_submission_pauses")

INTENT = LedgerRecord(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0)


class ObjectStore(Store):
    """A store whose rows point to objects: Airflow's own object-storage backend, on a folder.

    As in Airflow, the object is written first, and the row is refused to a try that has been superseded.
    """

    def __init__(self, backend: Any, scope: Any) -> None:
        super().__init__()
        self.backend, self.scope = backend, scope
        self.is_fenced = False

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of the row's object; ``None`` if the object is gone."""
        reference = super().get(key)
        return default if reference is None else self.backend.deserialize_task_state_store_from_ref(reference)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write the object, then the row."""
        reference = self.backend.serialize_task_state_store_to_ref(value=value, key=key, scope=self.scope)
        if self.is_fenced:
            raise RuntimeError("404 Not Found")
        super().set(key, reference, retention=retention)


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store whose values are files below ``tmp_path``."""
    state = pytest.importorskip("airflow.sdk.state", reason="this Airflow keeps state in its database only")
    backend = pytest.importorskip(
        "airflow.providers.common.io.state_store.backend", reason="this common.io provider keeps no state"
    )
    monkeypatch.setattr(backend, "_get_base_path", lambda: ObjectStoragePath(f"file://{tmp_path}"))
    return ObjectStore(backend.StateStoreObjectStorageBackend(), state.TaskScope("dag", "run", "task"))


class Assets(dict[str, Any]):
    """The asset state stores of a task, by asset."""

    def __getitem__(self, asset: Asset) -> Store:  # type: ignore[override]
        store: Store = super().__getitem__(asset.name)
        return store


class LedgerHarness(TaskHarness):
    """A task instance whose Airflow also has asset state stores."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = Store()
        self.dag_run: Any = None

    @property
    def context(self) -> Any:
        """The context of this try."""
        return {
            **super().context,
            "dag_run": self.dag_run,
            "asset_state_store": Assets({LEDGER_ASSET.name: self.copies}),
        }

    def empty(self) -> None:
        """Empty the task's state store, as a clear in Airflow 3.4 does."""
        self.store.held.clear()


@pytest.fixture
def cleared() -> LedgerHarness:
    """A task instance under Airflow 3.4."""
    return LedgerHarness()


def test_a_late_try_overwrites_nothing(objects: ObjectStore) -> None:
    """A write that Airflow refuses has replaced an object nevertheless, but not that of the try that pays."""
    store = objects
    late, paying = Ledger(store, None, try_number=1), Ledger(store, None, try_number=2)
    paying.write(INTENT)
    store.is_fenced = True
    with pytest.raises(LedgerError):
        late.write(LedgerRecord(Phase.INTENT, "fp", "airflow-nobody-knows", 1, "some-model", 100.0))
    store.is_fenced = False

    found = Ledger(store, None, try_number=3).read()

    assert found == INTENT


def test_a_late_first_write_is_not_read_at_all(objects: ObjectStore) -> None:
    """A refused first write leaves an object without a row, which is ignored."""
    store = objects
    store.is_fenced = True
    with pytest.raises(LedgerError):
        Ledger(store, None).write(INTENT)
    store.is_fenced = False

    assert Ledger(store, None, try_number=2).read() is None


def test_a_record_whose_object_is_gone_is_not_missing(
    emulator: EmulatorHandle, harness: TaskHarness, objects: ObjectStore, tmp_path: Path
) -> None:
    """If a lifecycle rule has removed the row's object, nothing is sent, and the error names the backend's option."""
    harness.store = objects
    harness.run(operator(wait_for_completion=False))
    removed = [path.unlink() for path in tmp_path.rglob("evolink*") if path.is_file()]
    assert removed

    for attempt in (harness.retry, harness.clear):
        with pytest.raises(LedgerError, match="state_store_backend"):
            attempt(operator())
    assert len(accepted(emulator)) == 1


def test_the_newest_entry_counts() -> None:
    """In whatever order tries write, the entry of the latest is read, and that of an earlier one is still found."""
    store = Store()
    Ledger(store, None, try_number=1).write(INTENT)
    assert Ledger(store, None, try_number=4).read() == INTENT

    newer = LedgerRecord(Phase.INTENT, "fp", "airflow-newer", 2, "some-model", 200.0)
    Ledger(store, None, try_number=3).write(newer)

    assert Ledger(store, None, try_number=3).read() == newer
    assert Ledger(store, None, try_number=9).read() == newer
    assert Ledger(store, None, try_number=2).read() == INTENT


@pytest.mark.parametrize("policy", [{}, {"wait_for_completion": False}])
def test_a_clear_that_empties_the_store_returns_the_same_result(
    emulator: EmulatorHandle, cleared: LedgerHarness, policy: dict[str, Any]
) -> None:
    """With ``on_clear="reuse"`` every clear returns the result, whatever it did to the task's store."""
    first = cleared.run(operator(**policy))

    for _ in range(3):
        cleared.empty()
        assert cleared.clear(operator(**policy))["generation_id"] == first["generation_id"]
    assert len(accepted(emulator)) == 1


def test_a_clear_that_empties_the_store_can_resubmit(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """``on_clear="resubmit"`` pays once per clear, and the id that it replaces is kept."""
    first = cleared.run(operator(on_clear="resubmit"))
    cleared.empty()

    second = cleared.clear(operator(on_clear="resubmit"))

    assert second["generation_id"] != first["generation_id"]
    assert cleared.record["previous_ids"] == [first["generation_id"]]
    assert len(accepted(emulator)) == 2


def test_a_deferred_task_that_is_cleared_resumes(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """A clear while the task is deferred orphans no generation."""
    first = cleared.run(operator(wait_for_completion=False))
    cleared.copies.held = {
        key: value.replace('"finished_without_waiting": true', '"finished_without_waiting": false')
        for key, value in cleared.copies.held.items()
    }
    cleared.empty()

    record = cleared.clear(operator())

    assert record["generation_id"] == first["generation_id"]
    assert [generation["id"] for generation in accepted(emulator)] == [first["generation_id"]]


def test_a_lost_response_survives_a_clear_that_empties_the_store(
    emulator: EmulatorHandle, cleared: LedgerHarness
) -> None:
    """The idempotency key of a submission in doubt is found in the copy, and sent again."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        cleared.run(operator())
    cleared.empty()

    record = cleared.clear(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_an_empty_ledger_is_cross_checked(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """A gateway's 404 looks like an empty store, so a later try reads the copy before it pays."""
    cleared.run(operator(wait_for_completion=False))
    held = dict(cleared.store.held)
    cleared.empty()

    cleared.retry(operator(wait_for_completion=False))

    assert held
    assert len(accepted(emulator)) == 1


def test_the_copy_of_a_deleted_run_does_not_win_by_its_number() -> None:
    """If a run of the same name had more tries, the submission that began last is still this run's."""
    store, copy = Store(), Store()
    Ledger(Store(), None, try_number=5, copy=copy).write(INTENT)
    newer = LedgerRecord(Phase.INTENT, "fp", "airflow-newer", 1, "some-model", 200.0)
    Ledger(store, None, try_number=1, copy=copy).write(newer)

    assert Ledger(Store(), None, try_number=6, copy=copy).read() == newer


def test_a_late_intent_in_the_copy_does_not_hide_a_paid_generation(
    emulator: EmulatorHandle, cleared: LedgerHarness
) -> None:
    """Only the task's store refuses a superseded try, and yet a clear that empties that store pays nothing again."""
    late = LedgerHarness()
    late.copies, late.store = cleared.copies, FailingStore(1)
    cleared.ti.try_number = 2
    paid = cleared.run(operator(wait_for_completion=False))
    with pytest.raises(LedgerError):
        late.run(operator(wait_for_completion=False))
    cleared.empty()

    again = cleared.clear(operator(wait_for_completion=False))

    assert again["generation_id"] == paid["generation_id"]
    assert len(accepted(emulator)) == 1


def test_an_intent_in_doubt_stays_in_the_copy(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """If the second send after a lost response can't be written, the idempotency key is sent again after a clear."""
    cleared.store = FailingStore(2)
    emulator.control.inject("lost_response", on="submit")
    with pytest.raises(LedgerError):
        cleared.run(operator(wait_for_completion=False))
    cleared.empty()

    cleared.clear(operator(wait_for_completion=False))

    assert len(accepted(emulator)) == 1


@needs_state_stores
@pytest.mark.parametrize("policy", ["replay", "fail"])
def test_an_id_that_only_the_copy_has_is_found(emulator: EmulatorHandle, cleared: LedgerHarness, policy: str) -> None:
    """If only the copy has the id when the worker dies, the next try needs neither a replay nor a person."""
    cleared.store = FailingStore(2, 3, 4, 5)
    cleared.run(operator(wait_for_completion=False, on_unknown_submission=policy))
    assert cleared.record["phase"] == "intent"
    emulator.control.inject("ignore_idempotency", on="submit", times=None)

    cleared.retry(operator(on_unknown_submission=policy))

    assert [generation["id"] for generation in accepted(emulator)] == [cleared.record["generation_id"]]


def test_an_id_in_the_copy_wins_over_a_later_try_without_it() -> None:
    """A superseded first try may get its response after the second try has lost its own."""
    copy = Store()
    submitted = replace(INTENT, phase=Phase.SUBMITTED, generation_id="task-unified-1-a", submitted_at=100.0)
    Ledger(Store(), None, try_number=2, copy=copy).write(replace(INTENT, send_count=2))
    Ledger(Store(), None, try_number=1, copy=copy).write(submitted)

    assert Ledger(Store(), None, try_number=3, copy=copy).read() == submitted


def test_a_copy_that_cannot_be_read_leaves_an_open_submission_open() -> None:
    """The task's store is enough to replay, and the response to another idempotency key is ignored."""
    store, copy = Store(), Store()
    Ledger(store, None).write(INTENT)
    submitted = replace(INTENT, phase=Phase.SUBMITTED, generation_id="task-unified-1-a", submitted_at=1.0)
    other = replace(submitted, idempotency_key="airflow-other")
    Ledger(Store(), None, copy=copy).write(other)
    assert Ledger(store, None, try_number=2, copy=copy).read() == INTENT

    copy.held["evolink"] = "not JSON"
    assert Ledger(store, None, try_number=2, copy=copy).read() == INTENT


def test_an_entry_of_the_copy_whose_value_is_gone_is_not_missing() -> None:
    """If the store is empty and the copy's value is gone from its storage, nothing is sent."""

    class Lost(Store):
        """A store whose values are gone."""

        def get(self, key: str, default: Any = None) -> Any:
            """Return ``None`` for every value."""
            return None if key in self.held else default

    lost = Lost()
    Ledger(Store(), None, copy=lost).write(INTENT)

    with pytest.raises(LedgerError, match=r"nothing was sent.*'evolink_ledger'"):
        Ledger(Store(), None, try_number=2, copy=lost).read()


def own_log(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the task has logged, without Airflow's remark on tasks that are run by a test."""
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if "outside of the Task Runner" not in line)


def lose_everything(store: Store) -> None:
    """Remove what a store holds, as its owner may."""
    store.held.clear()
    if (files := store.files) is not None:
        shutil.rmtree(files._open_folder().uri.removeprefix("file://"))


def test_a_later_try_that_pays_logs_a_warning(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """If record and copy are both gone, a later try that pays warns; a first try does not."""
    harness.run(operator(wait_for_completion=False))
    assert "[warning" not in own_log(capsys)
    lose_everything(harness.store)

    harness.clear(operator(wait_for_completion=False))

    warning = own_log(capsys).partition("[warning")[2]
    assert "try 2" in warning
    assert len(accepted(emulator)) == 2


@needs_state_stores
def test_a_recreated_run_pays_for_a_new_generation(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """The copy of a deleted run is not used by the first try of another run of that name."""
    first = cleared.run(operator(wait_for_completion=False))
    recreated = LedgerHarness()
    recreated.copies = cleared.copies

    second = recreated.run(operator(wait_for_completion=False))

    assert second["generation_id"] != first["generation_id"]


@needs_state_stores
@pytest.mark.parametrize(("clear_number", "charges"), [(0, 2), (1, 1)])
def test_a_recreated_run_is_not_taken_for_a_cleared_one(
    emulator: EmulatorHandle, cleared: LedgerHarness, clear_number: int, charges: int
) -> None:
    """A later try of a recreated run does not get what the deleted run paid for."""
    cleared.run(operator(wait_for_completion=False))
    cleared.empty()
    cleared.dag_run = SimpleNamespace(clear_number=clear_number, start_date=datetime.now(UTC) + timedelta(seconds=61))

    cleared.retry(operator(wait_for_completion=False))

    assert len(accepted(emulator)) == charges


def test_a_restarted_run_is_not_taken_for_a_recreated_one(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """With the REST API a task can be cleared without its run, and the run be restarted later."""
    paid = cleared.run(operator(wait_for_completion=False))
    cleared.empty()
    cleared.dag_run = SimpleNamespace(clear_number=0, start_date=datetime.now(UTC) + timedelta(hours=1))
    cleared.ti.try_number, cleared.ti.max_tries = 2, 1
    task = operator(wait_for_completion=False)

    again = task.execute({**cleared.context, "task": task})

    assert again["generation_id"] == paid["generation_id"]
    assert len(accepted(emulator)) == 1


@pytest.mark.parametrize("run", [SimpleNamespace(), {}, SimpleNamespace(clear_number=0, start_date="2099-01-01")])
def test_a_run_without_a_known_start_hides_nothing(emulator: EmulatorHandle, cleared: LedgerHarness, run: Any) -> None:
    """If the start of the run is unknown, every entry of the copy counts."""
    cleared.run(operator(wait_for_completion=False))
    cleared.empty()
    cleared.dag_run = run

    cleared.retry(operator(wait_for_completion=False))

    assert len(accepted(emulator)) == 1


@needs_state_stores
def test_a_copy_that_cannot_be_written_stops_nothing(
    emulator: EmulatorHandle,
    cleared: LedgerHarness,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before any DAG refers to the asset, the copy can't be written: that is logged once, and the task carries on."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such asset")

    monkeypatch.setattr(cleared.copies, "set", refuse)

    assert cleared.run(operator())["status"] == "completed"
    assert capsys.readouterr().out.count("no such asset") == 1


@needs_state_stores
def test_a_copy_that_cannot_be_read_is_not_taken_for_empty(
    emulator: EmulatorHandle, cleared: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try with an empty store and an unreadable copy sends nothing."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the API server is down")

    monkeypatch.setattr(cleared.copies, "get", refuse)

    with pytest.raises(LedgerError, match="nothing was sent"):
        cleared.retry(operator())
    assert accepted(emulator) == []


def test_every_paying_task_has_the_asset() -> None:
    """Mapped or not, a task has the asset once, besides inlets of its own."""
    own = Asset(name="own")
    plain = operator(inlets=[own])
    mapped = EvoLinkGenerateOperator.partial(task_id="mapped", model="m", inlets=own).expand(parameters=[{}, {}])

    assert plain.inlets == [own, LEDGER_ASSET]
    assert mapped.partial_kwargs["inlets"] == [own, LEDGER_ASSET]
    assert operator().inlets == [LEDGER_ASSET]


def test_the_asset_is_the_one_that_users_name() -> None:
    """A task of a user's own names it by its name alone; Airflow compares group and extra as well."""
    assert operator(inlets=[Asset("evolink_ledger")]).inlets == [Asset("evolink_ledger")] == [LEDGER_ASSET]


def execute_by_hand(harness: TaskHarness, *prompts: str, **kwargs: Any) -> list[dict[str, Any]]:
    """Execute an operator for each prompt by hand, inside another task."""
    harness.ti = harness.ti or TaskInstance()
    context = {**harness.context, "task": BaseOperator(task_id="outer")}
    return [operator(prompt, deferrable=False, **kwargs).execute(context) for prompt in prompts]


def test_each_call_inside_another_task_pays_for_its_own(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Each call has a generation of its own, even with an equal request, and a retry pays nothing."""
    first = execute_by_hand(harness, "A lighthouse", "A lighthouse", "A harbor")
    harness.ti.try_number += 1
    again = execute_by_hand(harness, "A lighthouse", "A lighthouse", "A harbor")

    ids = [record["generation_id"] for record in first]
    assert len(set(ids)) == 3
    assert [record["generation_id"] for record in again] == ids
    assert len(accepted(emulator)) == 3


def test_resubmit_does_not_multiply_the_charges(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Two calls with two prompts and ``on_changed_input="resubmit"`` stay two charges over all tries."""
    for _ in range(3):
        execute_by_hand(harness, "A lighthouse", "A harbor", on_changed_input="resubmit")
        harness.ti.try_number += 1

    assert len(accepted(emulator)) == 2


def test_the_error_of_an_unreadable_ledger_names_the_entry(harness: TaskHarness, emulator: EmulatorHandle) -> None:
    """An invalid record is not overwritten, and the error names the entry to repair."""
    harness.store.set("evolink", ["not", "a", "record"])

    with pytest.raises((LedgerError, EvoLinkFailException), match="'evolink'"):
        harness.run(operator())
    assert accepted(emulator) == []
