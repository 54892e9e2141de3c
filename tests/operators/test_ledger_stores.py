"""The ledger on stores that are not what one would like: values in objects, clears that empty them, several callers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, BaseOperator, ObjectStoragePath

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.operators.task_state import LEDGER_ASSET
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import LedgerError, LedgerRecord, Phase
from tests.operators.orders import made, operator
from tests.task_harness import FailingStore, Store, TaskHarness, TaskInstance

pytestmark = pytest.mark.usefixtures("no_pauses")

INTENT = LedgerRecord(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0)


class ObjectStore(Store):
    """
    Values in objects, rows that point to them: Airflow's own object-storage backend, on a folder.

    As in Airflow the object is written first, and the row is refused to a try whose place another has taken.
    """

    def __init__(self, backend: Any, scope: Any) -> None:
        super().__init__()
        self.backend, self.scope = backend, scope
        self.is_fenced = False

    def get(self, key: str, default: Any = None) -> Any:
        """Return what the row's object holds now; nothing, if it is gone."""
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
    """A store whose values are in files below ``tmp_path``."""
    state = pytest.importorskip("airflow.sdk.state", reason="this Airflow keeps state in its database only")
    room = pytest.importorskip(
        "airflow.providers.common.io.state_store.backend", reason="this common.io provider keeps no state"
    )
    monkeypatch.setattr(room, "_get_base_path", lambda: ObjectStoragePath(f"file://{tmp_path}"))
    return ObjectStore(room.StateStoreObjectStorageBackend(), state.TaskScope("dag", "run", "task"))


class Assets(dict[str, Any]):
    """The asset state stores of a task, by asset."""

    def __getitem__(self, asset: Asset) -> Store:  # type: ignore[override]
        store: Store = super().__getitem__(asset.name)
        return store


class LedgerHarness(TaskHarness):
    """A task instance whose Airflow has asset state stores, too."""

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
    """A write that Airflow refuses has replaced an object all the same, and not the one of the try that pays."""
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
    """A try that wakes up before any other has written leaves an object without a row, which counts for nothing."""
    store = objects
    store.is_fenced = True
    with pytest.raises(LedgerError):
        Ledger(store, None).write(INTENT)
    store.is_fenced = False

    assert Ledger(store, None, try_number=2).read() is None


def test_a_record_whose_object_is_gone_is_not_none(
    emulator: EmulatorHandle, harness: TaskHarness, objects: ObjectStore, tmp_path: Path
) -> None:
    """A lifecycle rule has removed what the row points to: nothing is sent, and it is said where to look."""
    harness.store = objects
    harness.run(operator(wait_for_completion=False))
    removed = [path.unlink() for path in tmp_path.rglob("evolink*") if path.is_file()]
    assert removed

    for again in (harness.retry, harness.clear):
        with pytest.raises(LedgerError, match="state_store_backend"):
            again(operator())
    assert len(made(emulator)) == 1


def test_the_newest_entry_counts() -> None:
    """Whatever order tries write in, the last try's word is read, and what the first version wrote is still found."""
    store = Store()
    Ledger(store, None, try_number=1).write(INTENT)
    assert Ledger(store, None, try_number=4).read() == INTENT

    newer = LedgerRecord(Phase.INTENT, "fp", "airflow-newer", 2, "some-model", 200.0)
    Ledger(store, None, try_number=3).write(newer)

    assert Ledger(store, None, try_number=3).read() == newer
    assert Ledger(store, None, try_number=9).read() == newer
    assert Ledger(store, None, try_number=2).read() == INTENT


@pytest.mark.parametrize("policy", [{}, {"wait_for_completion": False}])
def test_a_clear_that_empties_the_store_gives_the_same_result(
    emulator: EmulatorHandle, cleared: LedgerHarness, policy: dict[str, Any]
) -> None:
    """With ``on_clear="reuse"`` every clear hands the result on, whatever it did to the task's store."""
    first = cleared.run(operator(**policy))

    for _ in range(3):
        cleared.empty()
        assert cleared.clear(operator(**policy))["generation_id"] == first["generation_id"]
    assert len(made(emulator)) == 1


def test_a_clear_that_empties_the_store_still_buys_when_told(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """``on_clear="resubmit"`` pays once for each clear, and what it replaces stays known."""
    first = cleared.run(operator(on_clear="resubmit"))
    cleared.empty()

    second = cleared.clear(operator(on_clear="resubmit"))

    assert second["generation_id"] != first["generation_id"]
    assert cleared.record["previous_ids"] == [first["generation_id"]]
    assert len(made(emulator)) == 2


def test_a_waiting_task_that_is_cleared_goes_on(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """A clear while the task is deferred leaves no orphan."""
    first = cleared.run(operator(wait_for_completion=False))
    cleared.copies.held = {
        key: value.replace('"finished_without_waiting": true', '"finished_without_waiting": false')
        for key, value in cleared.copies.held.items()
    }
    cleared.empty()

    record = cleared.clear(operator())

    assert record["generation_id"] == first["generation_id"]
    assert [one["id"] for one in made(emulator)] == [first["generation_id"]]


def test_a_lost_answer_survives_a_clear_that_empties_the_store(
    emulator: EmulatorHandle, cleared: LedgerHarness
) -> None:
    """The key of a submission in doubt is found in the copy, and sent again."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(Exception, match="may have been accepted"):
        cleared.run(operator())
    cleared.empty()

    record = cleared.clear(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_an_empty_ledger_is_cross_checked(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """A gateway's 404 looks like an empty store: a later try asks the copy before it pays."""
    cleared.run(operator(wait_for_completion=False))
    held = dict(cleared.store.held)
    cleared.empty()

    cleared.retry(operator(wait_for_completion=False))

    assert held
    assert len(made(emulator)) == 1


def test_the_copy_of_a_deleted_run_does_not_win_by_its_number() -> None:
    """A run of the same name had more tries: the submission that was begun last is this run's."""
    store, copy = Store(), Store()
    Ledger(Store(), None, try_number=5, copy=copy).write(INTENT)
    newer = LedgerRecord(Phase.INTENT, "fp", "airflow-newer", 1, "some-model", 200.0)
    Ledger(store, None, try_number=1, copy=copy).write(newer)

    assert Ledger(Store(), None, try_number=6, copy=copy).read() == newer


def test_a_late_intent_in_the_copy_does_not_hide_what_was_paid(
    emulator: EmulatorHandle, cleared: LedgerHarness
) -> None:
    """A try that wakes up late is refused by the task's store only: the clear that empties it pays nothing again."""
    late = LedgerHarness()
    late.copies, late.store = cleared.copies, FailingStore(1)
    cleared.ti.try_number = 2
    paid = cleared.run(operator(wait_for_completion=False))
    with pytest.raises(LedgerError):
        late.run(operator(wait_for_completion=False))
    cleared.empty()

    again = cleared.clear(operator(wait_for_completion=False))

    assert again["generation_id"] == paid["generation_id"]
    assert len(made(emulator)) == 1


def test_an_intent_in_doubt_stays_in_the_copy(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """The first answer was lost and the second sending can't be written: its key is sent again after a clear."""
    cleared.store = FailingStore(2)
    emulator.control.inject("lost_reply", on="submit")
    with pytest.raises(LedgerError):
        cleared.run(operator(wait_for_completion=False))
    cleared.empty()

    cleared.clear(operator(wait_for_completion=False))

    assert len(made(emulator)) == 1


@pytest.mark.parametrize("policy", ["replay", "fail"])
def test_an_id_that_only_the_copy_has_taken_is_found(
    emulator: EmulatorHandle, cleared: LedgerHarness, policy: str
) -> None:
    """The task's store refused the id, and the worker died: the next try needs neither the key nor a person."""
    cleared.store = FailingStore(2, 3, 4, 5)
    cleared.run(operator(wait_for_completion=False, on_unknown_submission=policy))
    assert cleared.record["phase"] == "intent"
    emulator.control.inject("ignore_idempotency", on="submit", times=None)

    cleared.retry(operator(on_unknown_submission=policy))

    assert [one["id"] for one in made(emulator)] == [cleared.record["generation_id"]]


def test_an_answer_in_the_copy_wins_over_a_later_try_that_lacks_it() -> None:
    """The first try was answered after its place was taken; the second one's sending under that key was lost."""
    copy = Store()
    answered = replace(INTENT, phase=Phase.SUBMITTED, generation_id="task-unified-1-a", submitted_at=100.0)
    Ledger(Store(), None, try_number=2, copy=copy).write(replace(INTENT, send_count=2))
    Ledger(Store(), None, try_number=1, copy=copy).write(answered)

    assert Ledger(Store(), None, try_number=3, copy=copy).read() == answered


def test_a_copy_that_cannot_be_read_leaves_an_open_submission_open() -> None:
    """What the task's store holds is enough to send the same key again; another key's answer is none to it."""
    store, copy = Store(), Store()
    Ledger(store, None).write(INTENT)
    other = replace(
        INTENT,
        phase=Phase.SUBMITTED,
        idempotency_key="airflow-other",
        generation_id="task-unified-1-a",
        submitted_at=1.0,
    )
    Ledger(Store(), None, copy=copy).write(other)
    assert Ledger(store, None, try_number=2, copy=copy).read() == INTENT

    copy.held["evolink"] = "no JSON"
    assert Ledger(store, None, try_number=2, copy=copy).read() == INTENT


def test_an_entry_of_the_copy_that_is_gone_is_not_none() -> None:
    """Where the store is empty and the copy's value is gone from its storage, what was paid is not known."""

    class Lost(Store):
        """A store whose values are gone."""

        def get(self, key: str, default: Any = None) -> Any:
            """Return nothing for what was there."""
            return None if key in self.held else default

    lost = Lost()
    Ledger(Store(), None, copy=lost).write(INTENT)

    with pytest.raises(LedgerError, match=r"nothing was sent.*its copy .* 'evolink_ledger'"):
        Ledger(Store(), None, try_number=2, copy=lost).read()


def test_no_later_try_pays_in_silence(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where record and copy are both gone, a later try that pays says so; a first try has nothing to say."""
    harness.run(operator(wait_for_completion=False))
    assert "holds nothing of the earlier ones" not in capsys.readouterr().out
    harness.store.held.clear()

    harness.clear(operator(wait_for_completion=False))

    assert "This is try 2, and the ledger holds nothing of the earlier ones" in capsys.readouterr().out
    assert len(made(emulator)) == 2


def test_a_run_made_anew_asks_for_something_new(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """A deleted run's copy is not taken for the first try of another run of that name."""
    first = cleared.run(operator(wait_for_completion=False))
    again = LedgerHarness()
    again.copies = cleared.copies

    second = again.run(operator(wait_for_completion=False))

    assert second["generation_id"] != first["generation_id"]


@pytest.mark.parametrize(("clear_number", "charges"), [(0, 2), (1, 1)])
def test_a_run_made_anew_is_told_from_a_cleared_one(
    emulator: EmulatorHandle, cleared: LedgerHarness, clear_number: int, charges: int
) -> None:
    """A later try of it, whose first has written nothing, is not served what a deleted run has paid for."""
    cleared.run(operator(wait_for_completion=False))
    cleared.empty()
    cleared.dag_run = SimpleNamespace(clear_number=clear_number, start_date=datetime.now(UTC) + timedelta(seconds=61))

    cleared.retry(operator(wait_for_completion=False))

    assert len(made(emulator)) == charges


def test_a_run_that_is_queued_again_is_not_made_anew(emulator: EmulatorHandle, cleared: LedgerHarness) -> None:
    """By REST a task can be cleared without its run, and the run then started again."""
    paid = cleared.run(operator(wait_for_completion=False))
    cleared.empty()
    cleared.dag_run = SimpleNamespace(clear_number=0, start_date=datetime.now(UTC) + timedelta(hours=1))
    cleared.ti.try_number, cleared.ti.max_tries = 2, 1
    task = operator(wait_for_completion=False)

    again = task.execute({**cleared.context, "task": task})

    assert again["generation_id"] == paid["generation_id"]
    assert len(made(emulator)) == 1


@pytest.mark.parametrize("run", [SimpleNamespace(), {}, SimpleNamespace(clear_number=0, start_date="2099-01-01")])
def test_a_run_that_says_nothing_of_its_start_hides_nothing(
    emulator: EmulatorHandle, cleared: LedgerHarness, run: Any
) -> None:
    """Where it is not known when the run began, whatever the copy holds counts."""
    cleared.run(operator(wait_for_completion=False))
    cleared.empty()
    cleared.dag_run = run

    cleared.retry(operator(wait_for_completion=False))

    assert len(made(emulator)) == 1


def test_a_copy_that_fails_stops_nothing(
    emulator: EmulatorHandle,
    cleared: LedgerHarness,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no DAG has the asset yet the copy can't be written: that is said, and the task goes on."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such asset")

    monkeypatch.setattr(cleared.copies, "set", refuse)

    assert cleared.run(operator())["status"] == "completed"
    assert capsys.readouterr().out.count("copy could not be written (no such asset)") == 1


def test_a_copy_that_cannot_be_read_is_not_taken_for_none(
    emulator: EmulatorHandle, cleared: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try with an empty store and a copy that does not answer sends nothing."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the API server is down")

    monkeypatch.setattr(cleared.copies, "get", refuse)

    with pytest.raises(LedgerError, match="nothing was sent"):
        cleared.retry(operator())
    assert made(emulator) == []


def test_every_paying_task_has_the_asset() -> None:
    """Mapped and plain, once, beside the inlets of its own."""
    own = Asset(name="own")
    plain = operator(inlets=[own])
    mapped = EvoLinkGenerateOperator.partial(task_id="mapped", model="m", inlets=own).expand(parameters=[{}, {}])

    assert plain.inlets == [own, LEDGER_ASSET]
    assert mapped.partial_kwargs["inlets"] == [own, LEDGER_ASSET]
    assert operator().inlets == [LEDGER_ASSET]


def inside(harness: TaskHarness, *prompts: str, **kwargs: Any) -> list[dict[str, Any]]:
    """Execute an operator by hand for each prompt, inside another task."""
    harness.ti = harness.ti or TaskInstance()
    context = {**harness.context, "task": BaseOperator(task_id="outer")}
    return [operator(prompt, deferrable=False, **kwargs).execute(context) for prompt in prompts]


def test_each_call_inside_another_task_pays_for_its_own(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Equal requests are several wishes, other requests are no change of an earlier one, and a retry pays nothing."""
    first = inside(harness, "A lighthouse", "A lighthouse", "A harbour")
    harness.ti.try_number += 1
    again = inside(harness, "A lighthouse", "A lighthouse", "A harbour")

    ids = [record["generation_id"] for record in first]
    assert len(set(ids)) == 3
    assert [record["generation_id"] for record in again] == ids
    assert len(made(emulator)) == 3


def test_advice_to_resubmit_does_not_multiply_the_charges(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Two calls with two prompts and ``on_changed_input="resubmit"`` stay two charges over all tries."""
    for _ in range(3):
        inside(harness, "A lighthouse", "A harbour", on_changed_input="resubmit")
        harness.ti.try_number += 1

    assert len(made(emulator)) == 2


def test_the_way_out_of_an_unreadable_ledger_is_named(harness: TaskHarness, emulator: EmulatorHandle) -> None:
    """What is no record of ours is not overwritten, and the error names the entry that stands in the way."""
    harness.store.set("evolink", ["not", "a", "record"])

    with pytest.raises((LedgerError, EvoLinkFailException), match="'evolink'"):
        harness.run(operator())
    assert made(emulator) == []
