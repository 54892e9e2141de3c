# SPDX-License-Identifier: Apache-2.0
"""Tasks whose ledger is in the storage of ``[evolink] ledger_path``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import ConfigurationError, EvoLinkError, InvalidInputError, LedgerError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution import object_ledger
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing.create_only import PROBE, CreateOnlyFolder
from testkit.s3 import BUCKET, S3
from tests.marks import needs_state_stores
from tests.operators.landings import LandingHarness
from tests.operators.submissions import TEXT, accepted, operator
from tests.task_harness import TaskHarness, TaskInstance, ledger_in_files

pytestmark = pytest.mark.usefixtures("no_submission_pauses", "_new_process")

OPTION = "AIRFLOW__EVOLINK__LEDGER_PATH"
FIRST_ID, SECOND_ID, NEW_RUN_ID = (f"0198c0de-000{number}-7000-8000-000000000000" for number in (1, 2, 3))


@pytest.fixture
def _new_process() -> Iterator[None]:
    """Forget which storage was checked."""
    object_ledger._checked_root.cache_clear()
    yield
    object_ledger._checked_root.cache_clear()


@pytest.fixture
def ledgers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ledgers, on an Airflow without stores."""
    folder = tmp_path / "ledgers"
    folder.mkdir()
    ledger_in_files(monkeypatch, folder)
    return folder


def fail(harness: TaskHarness) -> EvoLinkError:
    """Return the error of a task that fails."""
    with pytest.raises((EvoLinkError, EvoLinkFailException)) as caught:
        harness.run(operator())
    error: Any = caught.value
    return error.error if isinstance(error, EvoLinkFailException) else error  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ledgers/evolink", InvalidInputError),
        ("s3://key:hidden-part@bucket/evolink", InvalidInputError),
        ("s3:///evolink", InvalidInputError),
        ("gopher://bucket/evolink", ConfigurationError),
        ("sftp://conn@host/evolink", ConfigurationError),
        ("sftp://user:hidden-part@host/evolink", InvalidInputError),
        ("s3://no_such_connection@bucket/evolink", LedgerError),
        ("file:///no/such/folder", LedgerError),
    ],
)
def test_a_path_that_can_not_work(
    emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, path: str, expected: type[EvoLinkError]
) -> None:
    """Before anything is sent, the error names the option, and shows no credentials."""
    monkeypatch.setenv(OPTION, path)
    harness = TaskHarness()
    error = fail(harness)

    assert type(error) is expected
    assert "[evolink] ledger_path" in str(error)
    assert "`destination`" not in str(error)
    assert "hidden-part" not in str(error)
    assert emulator.control.state()["requests"]["total"] == 0


@pytest.mark.parametrize(
    ("folder", "facts"),
    [
        ("/no/such/folder", ("there is no folder /no/such/folder on this worker", "Create it, or mount it there")),
        # Nobody may create files there, not even root.
        pytest.param(
            "/sys",
            (f"file:///sys/{PROBE} could not be written: ", "Every worker must list, read and create files there"),
            marks=pytest.mark.skipif(not Path("/sys").is_mount(), reason="this system has no such file system"),
        ),
    ],
)
def test_a_folder_that_can_not_be_used(
    emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, folder: str, facts: tuple[str, str]
) -> None:
    """The error says what has failed with which path, that nothing was sent, and what to do; it names no read."""
    monkeypatch.setenv(OPTION, f"file://{folder}")
    text = str(fail(TaskHarness()))

    for fact in (*facts, f"[evolink] ledger_path='file://{folder}'", "Nothing was sent", "a retry tries again"):
        assert fact in text
    assert "could not be read" not in text
    assert ".part" not in text
    assert emulator.control.state()["requests"]["total"] == 0


def test_storage_that_overwrites_is_refused(emulator: EmulatorHandle, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """An S3 server that ignores If-None-Match holds no ledger: nothing is sent, now and by a retry."""
    monkeypatch.setenv("AIRFLOW_CONN_OVERWRITING_S3", s3.connection)
    monkeypatch.setenv(OPTION, f"s3://overwriting_s3@{BUCKET}/refused")
    harness = TaskHarness()
    for _ in range(2):
        error = fail(harness)
        assert isinstance(error, ConfigurationError)
        assert "If-None-Match" in str(error)
        harness.ti.try_number += 1
    assert emulator.control.state()["requests"]["total"] == 0


def test_a_ledger_in_s3(
    emulator: EmulatorHandle, conditional_s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through an Airflow connection: tries, clears and a landing share one charge; nothing secret is stored."""
    monkeypatch.setenv("AIRFLOW_CONN_CONDITIONAL_S3", conditional_s3.connection)
    monkeypatch.setenv(OPTION, f"s3://conditional_s3@{BUCKET}/evolink")
    emulator.control.inject("lost_response", on="submit", times=2)
    harness = LandingHarness()
    harness.ti = TaskInstance(run_id="manual__2026-11-27T23:00:00+00:00", map_index=3)
    task = operator(destination=str(tmp_path / "videos"))
    with pytest.raises(EvoLinkError):
        harness.run(task)

    results = [attempt(task) for attempt in (harness.retry, harness.clear, harness.clear)]

    [generation] = accepted(emulator)
    assert {result["generation_id"] for result in results} == {generation["id"]}
    fs = conditional_s3.file_system()
    files = [path.removeprefix(f"{BUCKET}/evolink/") for path in fs.find(f"{BUCKET}/evolink")]
    assert files[0] == PROBE
    [instance] = {path.rpartition("/")[0].rpartition("/")[0] for path in files[1:]}
    assert instance.startswith("dag/task/manual__2026-11-27T23-00-00-00-00~")
    assert instance.endswith("~map3")
    assert {path.split("/")[-2] for path in files[1:]} == {"evolink", "evolink_landing"}
    stored = b"".join(fs.cat(fs.find(f"{BUCKET}/evolink")).values())
    for secret in (emulator.api_key, conditional_s3.secret, "A lighthouse"):
        assert secret.encode() not in stored


def test_it_is_checked_once_per_process(
    emulator: EmulatorHandle, ledgers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many tasks a process runs, the storage is checked by the first."""
    checks: list[object] = []
    check = CreateOnlyFolder.check
    monkeypatch.setattr(CreateOnlyFolder, "check", lambda folder: (checks.append(folder), check(folder)))
    for index in range(3):
        TaskHarness(ti=TaskInstance(map_index=index)).run(operator(wait_for_completion=False))

    assert len(checks) == 1
    assert len(accepted(emulator)) == 3


def test_the_cost_of_a_generation(
    emulator: EmulatorHandle, ledgers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A first try that lands a video takes six requests to the storage, and the next one two for what it reads."""
    requests: list[str] = []
    for name in ("names", "read", "create"):
        original = getattr(CreateOnlyFolder, name)

        def counted(folder: CreateOnlyFolder, *args: Any, name: str = name, original: Any = original) -> Any:
            requests.append(name)
            return original(folder, *args)

        monkeypatch.setattr(CreateOnlyFolder, name, counted)
    object_ledger.ledger_root(f"file://{ledgers}")
    requests.clear()
    harness = LandingHarness()
    task = operator(destination=str(tmp_path / "videos"))
    harness.run(task)

    assert sorted(requests) == ["create"] * 4 + ["names"] * 2
    requests.clear()
    harness.clear(task)
    assert requests[:2] == ["names", "read"]
    assert len(accepted(emulator)) == 1


def test_of_eight_tries_at_once_one_pays(emulator: EmulatorHandle, ledgers: Path) -> None:
    """Eight workers that take the task for theirs: one pays, and the others send nothing."""
    harnesses = [TaskHarness() for _ in range(8)]

    def attempt(harness: TaskHarness) -> str | None:
        try:
            return str(harness.run(operator(wait_for_completion=False))["generation_id"])
        except LedgerError:
            return None

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(attempt, harnesses)) - {None}

    [generation] = accepted(emulator)
    assert found == {generation["id"]}


def test_a_run_made_anew_pays_again(emulator: EmulatorHandle, ledgers: Path) -> None:
    """A new run of the same id has nothing to do with the deleted one; its own tries and clears share its charge."""
    first = TaskHarness(ti=TaskInstance(id=FIRST_ID)).run(operator())
    anew = TaskHarness(ti=TaskInstance(id=NEW_RUN_ID))

    second = anew.run(operator())

    assert second["generation_id"] != first["generation_id"]
    anew.ti.id = f"{NEW_RUN_ID}0"
    assert anew.clear(operator())["generation_id"] == second["generation_id"]
    assert len(accepted(emulator)) == 2


def test_a_first_try_that_wakes_up_late_sends_nothing(emulator: EmulatorHandle, ledgers: Path) -> None:
    """It has read nothing yet, and finds that the second try has paid."""
    paying = TaskHarness(ti=TaskInstance(id=SECOND_ID, try_number=2)).run(operator())

    assert "superseded" in str(fail(TaskHarness(ti=TaskInstance(id=FIRST_ID))))
    assert [generation["id"] for generation in accepted(emulator)] == [paying["generation_id"]]


@needs_state_stores
def test_what_airflow_has_kept_is_found(
    emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Setting the option later makes no task pay again for what it has paid for under Airflow's store."""
    harness = LandingHarness()
    first = harness.run(operator())
    monkeypatch.setenv(OPTION, f"file://{tmp_path}")

    assert harness.clear(operator())["generation_id"] == first["generation_id"]
    assert len(accepted(emulator)) == 1
    assert list(tmp_path.rglob("evolink/000001.json")) != []
    monkeypatch.delenv(OPTION)
    assert harness.clear(operator())["generation_id"] == first["generation_id"]


def test_outside_of_a_task(emulator: EmulatorHandle, ledgers: Path) -> None:
    """A call of the hook outside of a task has no ledger, here as anywhere."""
    emulator.control.set_speed(1000)
    EvoLinkHook().generate(TEXT, {"prompt": "A lighthouse", "duration": 3}, key="cover", poll_interval=1)

    assert [path.name for path in ledgers.iterdir() if path.name != PROBE] == []


def test_siblings_do_not_meet(emulator: EmulatorHandle, ledgers: Path) -> None:
    """Task instances whose ids look alike have folders of their own."""
    alike = [
        {"task_id": "a.b"}, {"task_id": "a", "dag_id": "dag.b"}, {"dag_id": "Dag"}, {"run_id": "run~map1"},
        {"run_id": "run", "map_index": 1}, {"run_id": "run", "map_index": 11}, {"run_id": "run:1"}, {"run_id": "run-1"},
        {"run_id": "run/1"}, {"run_id": "../run"}, {"run_id": "RUN-1"},
    ]  # fmt: skip
    for identity in alike:
        TaskHarness(ti=TaskInstance(**identity)).run(operator(wait_for_completion=False))

    assert len(accepted(emulator)) == len(alike)
    records = [json.loads(path.read_bytes()) for path in ledgers.rglob("000002.json")]
    assert len(records) == len(alike)
    assert len({path.resolve() for path in ledgers.rglob("evolink")}) == len(alike)
