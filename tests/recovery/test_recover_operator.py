# SPDX-License-Identifier: Apache-2.0
"""Tests that the recovering task lands what the account has paid for: all of it, once, and nothing that is known."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, LandingError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution import task_state
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators import recover as module
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator
from airflow_provider_evolink.recovery.errors import PermanentRecoveryFailedError, RecoveryFailedError
from airflow_provider_evolink.recovery.memory import STORE_KEY
from airflow_provider_evolink.types import RecoverySummary
from tests.operators.landings import LandingHarness, sent
from tests.operators.submissions import DyingStore, WorkerDied
from tests.recovery.generations import MODEL, folders, recovering, submit
from tests.task_harness import Store
from tests.test_types import problems

FILES = AssetAlias("files")
# A clock two days ahead, by which links of a day are dead.
TOMORROW = SimpleNamespace(
    now=lambda zone: datetime.now(zone) + timedelta(days=2), fromisoformat=datetime.fromisoformat
)
pytestmark = pytest.mark.usefixtures("no_pauses")


class Runs(LandingHarness):
    """The runs of one task, which share an asset's state store."""

    def next_run(self) -> None:
        """Begin a run of its own, with an empty task state store."""
        copies = self.copies
        number = int(self.ti.run_id.rpartition("-")[2]) if self.ti.run_id.startswith("run-") else 0
        self.__init__()  # type: ignore[misc]
        self.copies = copies
        self.ti.run_id = f"run-{number + 1}"

    def announced(self, outlet: AssetAlias = FILES) -> list[str]:
        """Return the generations whose files the last run has announced."""
        return sorted(event.extra["generation_id"] for event in self.outlet_events[outlet].asset_alias_events)


@pytest.fixture
def runs() -> Runs:
    """The runs of the recovering task."""
    return Runs()


@pytest.fixture
def memory_in_copies(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test break what the runs remember, also where an Airflow without asset state stores has it in files."""
    monkeypatch.setattr(task_state, "values_across_runs", lambda *_: runs.copies)


def test_whatever_the_account_has_is_landed(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """Each generation of another tool lands, is announced, and its cost is reported; nothing is paid."""
    ids = submit(emulator, 3)
    emulator.control.inject("generation_stalled", on="submit")
    under_way = submit(emulator)
    submissions = sent(emulator, "submit")
    result = runs.run(recovering(tmp_path, outlets=[FILES]))

    assert folders(tmp_path) == set(ids)
    assert sorted(file["generation_id"] for file in result["landed"]) == sorted(ids) == runs.announced()
    costs = [each.usage.credits_used for each in EvoLinkHook().get_generations(ids).values()]
    assert result["credits_used"] == sum(costs) > 0
    assert list(problems(result, RecoverySummary)) == []
    del result["landed"], result["credits_used"]
    assert result == {
        "found": 3, "skipped": 0, "failed": [], "under_way": len(under_way), "too_recent": 0, "left": 0,
    }  # fmt: skip
    assert sent(emulator, "submit") == submissions


@pytest.mark.usefixtures("each_ledger")
def test_the_next_run_lands_what_is_new(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """What an earlier run has landed is neither downloaded nor announced again."""
    submit(emulator, 2)
    runs.run(recovering(tmp_path, outlets=[FILES]))
    media = sent(emulator, "media")
    [new] = submit(emulator)
    runs.next_run()
    result = runs.run(recovering(tmp_path, outlets=[FILES]))

    assert (result["found"], result["skipped"]) == (3, 2)
    assert [file["generation_id"] for file in result["landed"]] == [new] == runs.announced()
    assert sent(emulator, "media") == (media[0] + 1,)


@pytest.mark.usefixtures("each_ledger")
def test_what_was_moved_away_does_not_come_back(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """A pipeline that takes the files out of the folder gets each once."""
    submit(emulator, 2)
    runs.run(recovering(tmp_path))
    shutil.rmtree(tmp_path)
    runs.next_run()

    assert runs.run(recovering(tmp_path))["landed"] == []


@pytest.mark.usefixtures("memory_in_copies")
@pytest.mark.parametrize("loss", ["lost", "unreadable"])
def test_a_lost_memory_lands_nothing_again(emulator: EmulatorHandle, runs: Runs, tmp_path: Path, loss: str) -> None:
    """Files that are still there are recognized by the ids in their names."""
    submit(emulator, 2)
    runs.run(recovering(tmp_path))
    media = sent(emulator, "media")
    runs.next_run()
    for key in list(runs.copies.held):
        assert key.endswith(STORE_KEY)
        del runs.copies.held[key]
        if loss == "unreadable":
            runs.copies.set(key, {"settled": ["?"]})
    result = runs.run(recovering(tmp_path))

    assert (result["landed"], result["skipped"]) == ([], 2)
    assert sent(emulator, "media") == media


def test_a_generation_of_which_a_file_is_missing_lands(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """A folder of the right name is not enough: every result must be there."""
    [generation_id] = submit(emulator)
    (tmp_path / generation_id).mkdir()

    assert len(runs.run(recovering(tmp_path))["landed"]) == 1


@pytest.mark.parametrize("inlet", [FILES, Asset("videos")])
def test_what_other_tasks_have_announced_is_left_alone(
    emulator: EmulatorHandle, runs: Runs, tmp_path: Path, inlet: Any
) -> None:
    """The asset events of the inlets report what has landed elsewhere, of files and of lists of files."""
    [known, batch, new] = submit(emulator, 3)
    asked = []

    class Events(list[Any]):
        def after(self, moment: str) -> Iterable[Any]:
            asked.append(moment)
            return self

    class InletEvents:
        def __getitem__(self, given: Any) -> Events:
            return Events(SimpleNamespace(extra=extra) for extra in (extras if given == inlet else []))

    files = [{"generation_id": batch, "uri": "file:///b"}, "?"]
    extras = [{"generation_id": known}, {"landed": files}, {}, {"landed": 3, "generation_id": 4}]
    context = {**runs.context, "inlet_events": InletEvents()}
    result = recovering(tmp_path, inlets=[inlet], lookback=3600).execute(context)

    assert [file["generation_id"] for file in result["landed"]] == [new]
    assert result["skipped"] == 2
    assert len(asked) == 1


def test_events_that_cannot_be_read_count_as_none(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """A copy too many is better than a loss."""
    submit(emulator)
    context = {**runs.context, "inlet_events": {}}

    assert len(recovering(tmp_path, inlets=[FILES]).execute(context)["landed"]) == 1


def test_the_oldest_land_first(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """`max_generations` bounds a run; the next ones land the others."""
    ids = []
    for _ in range(3):
        ids += submit(emulator)
    first = runs.run(recovering(tmp_path, max_generations=2))
    runs.next_run()
    second = runs.run(recovering(tmp_path, max_generations=2))

    assert {file["generation_id"] for file in first["landed"]} == set(ids[:2])
    assert (first["left"], second["left"]) == (1, 0)
    assert [file["generation_id"] for file in second["landed"]] == ids[2:]


def test_more_than_fifty_land(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """Links are read for fifty generations at a time."""
    ids = submit(emulator, 60)
    result = runs.run(recovering(tmp_path))

    assert folders(tmp_path) == set(ids)
    assert len(result["landed"]) == 60
    assert sent(emulator, "batch") == (2,)


def test_other_models_are_left_alone(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """`model` restricts what is looked for."""
    wanted = submit(emulator)
    submit(emulator, model="gpt-image-2")

    assert runs.run(recovering(tmp_path, model=MODEL))["found"] == 1
    assert folders(tmp_path) == set(wanted)


def test_recent_ones_are_left_to_their_tasks(
    emulator: EmulatorHandle, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `min_age`, what another task may still be landing waits until it is old enough."""
    submit(emulator)
    task = recovering(tmp_path, min_age=900, lookback=7200)
    assert runs.run(task)["too_recent"] == 1

    runs.next_run()
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: time.time() + 3600))
    assert len(runs.run(task)["landed"]) == 1


def test_older_ones_are_not_looked_for(
    emulator: EmulatorHandle, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lookback` ends the list."""
    submit(emulator)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: time.time() + 7200))

    assert runs.run(recovering(tmp_path, lookback=3600))["found"] == 0


@pytest.fixture
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Land generations one after another, the oldest first."""
    monkeypatch.setattr("airflow_provider_evolink.batch.landing.CONCURRENCY", 1)


@pytest.mark.usefixtures("_one_at_a_time")
def test_a_failure_lands_the_others(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """The error names what could not be landed; a retry lands it, and announces all that has landed since."""
    ids = submit(emulator, 3)
    emulator.control.inject("html_response", on="media", times=2)
    with pytest.raises(RecoveryFailedError) as caught:
        runs.run(recovering(tmp_path, outlets=[FILES]))

    [failed] = caught.value.failed
    assert failed["code"] == "ResultCorrupt"
    assert failed["generation_id"] in str(caught.value)
    assert folders(tmp_path) == set(ids) - {failed["generation_id"]}
    assert runs.announced() == []

    result = runs.retry(recovering(tmp_path, outlets=[FILES]))
    assert folders(tmp_path) == set(ids)
    assert sorted(file["generation_id"] for file in result["landed"]) == sorted(ids) == runs.announced()


@pytest.mark.usefixtures("_one_at_a_time")
def test_a_dead_link_is_reported_once(
    emulator: EmulatorHandle, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that finds it fails for good; later ones succeed, list it, and announce what that one has landed."""
    monkeypatch.setattr("airflow_provider_evolink.landing.lander.datetime", TOMORROW)
    [dead] = submit(emulator)
    [alive] = submit(emulator)
    emulator.control.inject("expired_link", on="media", times=2)
    task = recovering(tmp_path, outlets=[FILES], lookback=86400 * 3)
    with pytest.raises(EvoLinkFailException) as caught:
        runs.run(task)

    error = caught.value.error
    assert isinstance(error, PermanentRecoveryFailedError)
    assert [(each["generation_id"], each["code"]) for each in error.failed] == [(dead, "ResultExpired")]
    runs.next_run()
    result = runs.run(task)
    assert list(problems(result, RecoverySummary)) == []
    assert [each["generation_id"] for each in result["failed"]] == [dead]
    assert [file["generation_id"] for file in result["landed"]] == [alive] == runs.announced()


def test_a_storage_that_is_down_ends_the_run(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """Nothing is remembered as lost: once the storage is back, everything lands."""
    ids = submit(emulator, 2)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LandingError, match="can't be written to"):
        runs.run(recovering(blocked))
    blocked.unlink()

    assert {file["generation_id"] for file in runs.retry(recovering(blocked))["landed"]} == set(ids)


def test_a_generation_without_files_is_a_failure(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """It is paid for, and a later response may have the links."""
    emulator.control.inject("no_results", on="submit")
    submit(emulator)
    with pytest.raises(RecoveryFailedError, match="lists no file"):
        runs.run(recovering(tmp_path))


def test_evolink_that_is_down_fails_the_try(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """An outage is no empty account."""
    submit(emulator)
    emulator.control.inject("server_error", on="list", times=4)
    with pytest.raises(EvoLinkError, match="list of generations"):
        runs.run(recovering(tmp_path))
    for endpoint in ("batch", "read"):
        emulator.control.inject("server_error", on=endpoint, times=4)
    with pytest.raises(RecoveryFailedError, match="1 were not attempted"):
        runs.retry(recovering(tmp_path))

    assert len(runs.retry(recovering(tmp_path))["landed"]) == 1


@pytest.mark.usefixtures("memory_in_copies")
def test_a_store_that_fails_costs_nothing_but_work(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """The memory is no condition for landing."""

    class Broken(Store):
        def get(self, key: str, default: Any = None) -> Any:
            raise RuntimeError("the API server is down")

        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            raise RuntimeError("the API server is down")

    submit(emulator)
    runs.copies = Broken()

    assert len(runs.run(recovering(tmp_path))["landed"]) == 1


@pytest.mark.usefixtures("memory_in_copies")
def test_a_kill_loses_no_announcement(emulator: EmulatorHandle, runs: Runs, tmp_path: Path) -> None:
    """What has landed when the worker dies is not taken for somebody else's: the retry announces it."""
    ids = submit(emulator, 3)
    runs.copies = DyingStore(2, after=False)
    with pytest.raises(WorkerDied):
        runs.run(recovering(tmp_path, outlets=[FILES]))
    assert folders(tmp_path) == set(ids)

    runs.copies.remaining = 0
    result = runs.retry(recovering(tmp_path, outlets=[FILES]))
    assert sorted(file["generation_id"] for file in result["landed"]) == sorted(ids) == runs.announced()


def test_a_mapped_task() -> None:
    """One task for several accounts has the asset that keeps its memory, and its literals are checked."""
    mapped = EvoLinkRecoverOperator.partial(task_id="recover", destination="/recovered", inlets=[FILES])
    mapped.expand(evolink_conn_id=["one", "two"])
    assert mapped.kwargs["inlets"] == [FILES, LEDGER_ASSET]
    with pytest.raises(EvoLinkFailException, match="lookback"):
        EvoLinkRecoverOperator.partial(task_id="recover", destination="/recovered", lookback=-1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filename_pattern", "{index}.{ext}"),
        ("filename_pattern", "{nothing}-{generation_id}"),
        ("destination", "relative/path"),
        ("lookback", 0),
        ("lookback", None),
        ("lookback", 86400 * 31),
        ("min_age", 86400),
        ("min_age", -1),
        ("max_generations", 0),
        ("max_generations", 10_001),
        ("max_generations", True),
    ],
)
def test_invalid_arguments_are_refused_when_the_dag_is_parsed(name: str, value: Any) -> None:
    """Each error names its argument."""
    with pytest.raises(EvoLinkFailException) as caught:
        EvoLinkRecoverOperator(**{"task_id": "recover", "destination": "/recovered", name: value})

    assert isinstance(caught.value.error, InvalidInputError)
    assert caught.value.error.parameter == name
