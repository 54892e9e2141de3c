# SPDX-License-Identifier: Apache-2.0
"""What a failed task has paid for is shown from its ledger in files, and no other files are read as ledgers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_evolink.execution.object_ledger import instance_folder
from airflow_provider_evolink.landing.create_only import CreateOnlyFolder
from airflow_provider_evolink.landing.storage_target import storage_target
from airflow_provider_evolink.links import addresses
from airflow_provider_evolink.submission.record_log import NumberedRecords, RecordLog, Writer
from airflow_provider_evolink.ui import stored_ledgers
from testkit.s3 import BUCKET, S3
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance
from tests.ui.auth_manager import ACCOUNTANT, OWN_DAG
from tests.ui.landed import landed, record

OPTION = "AIRFLOW__EVOLINK__LEDGER_PATH"
RUN = addresses.entries(OWN_DAG, RUN_ID)
FOLDER = instance_folder(OWN_DAG, "land", RUN_ID, -1)
FINISHED = {"phase": "finished", "generation_id": "task-unified-1", "model": "other", "result": record()}


@pytest.fixture
def ledgers(ui: AirflowUi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the ledgers, on the api-server's machine."""
    folder = tmp_path / "ledgers"
    folder.mkdir()
    monkeypatch.setenv(OPTION, f"file://{folder}")
    return folder


def pay(path: str, *entries: Any, folder: str = FOLDER) -> None:
    """Write what a task instance has paid for, as its worker does."""
    for number, entry in enumerate(entries, 1):
        root = CreateOnlyFolder(storage_target(path))
        NumberedRecords(lambda root=root: root / folder, Writer({}, number, "")).set("evolink", entry)


def failed(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """Return what is shown of a task that has paid and whose landing has failed."""
    add_task_instance(**{"state": "failed", "generation_id": "task-unified-1", **changes})
    [entry] = client.get(RUN).json()["entries"]
    assert entry["status"] == "failed"
    return dict(entry)


def test_a_failed_landing(guest: httpx.Client, ledgers: Path) -> None:
    """Of a generation whose landing has failed, model, price and time are in the newest record of its task."""
    pay(str(ledgers), {"phase": "intent"}, FINISHED)
    entry = failed(guest)
    assert (entry["model"], entry["credits"], entry["duration"]) == ("wan2.5-image-to-video", 10.0, 90.0)


def test_a_mapped_task(guest: httpx.Client, ledgers: Path) -> None:
    """Each instance of a mapped task has its own."""
    pay(str(ledgers), FINISHED, folder=instance_folder(OWN_DAG, "land", RUN_ID, 7))
    assert failed(guest, map_index=7)["credits"] == 10.0


def test_in_s3(guest: httpx.Client, ui: AirflowUi, conditional_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger in a bucket is read with the connection of the configured path."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERS", conditional_s3.connection)
    path = f"s3://ledgers@{BUCKET}/gallery"
    monkeypatch.setenv(OPTION, path)
    pay(path, FINISHED)
    assert failed(guest)["credits"] == 10.0


def test_what_has_landed_is_not_looked_up(
    guest: httpx.Client, ledgers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that has returned its record, or has paid for nothing, costs no request to the storage."""
    monkeypatch.setattr(RecordLog, "load", lambda _: pytest.fail("it was read"))
    add_task_instance("a", return_value=record(landed(tmp_path / "0.mp4")), generation_id="task-unified-1")
    add_task_instance("b", state="failed")
    assert len(guest.get(RUN).json()["entries"]) == 2


def test_it_needs_the_permission_to_read_task_instances(ui: AirflowUi, ledgers: Path) -> None:
    """Who may not read task instances does not see what their ledgers have."""
    pay(str(ledgers), FINISHED)
    with ui.client(ACCOUNTANT) as accountant:
        assert failed(accountant)["model"] is None


@pytest.mark.parametrize("records", [(FINISHED, {**FINISHED, "generation_id": "task-unified-2"}), (FINISHED, None)])
def test_another_generation(guest: httpx.Client, ledgers: Path, records: Any) -> None:
    """The record of another generation than the one that the task names says nothing about it."""
    pay(str(ledgers), *records)
    assert failed(guest)["model"] is None


def stored(entry: Any, **more: Any) -> bytes:
    """Return the content of a record's file."""
    return json.dumps({"try_number": 1, "try_id": "", "value": entry, **more}).encode()


@pytest.mark.parametrize(
    "content", [b"no JSON", b"[" * 100_000, stored(FINISHED, more="x" * stored_ledgers.MAX_BYTES), stored([1]), b"\xff"]
)
def test_a_file_that_is_no_record(guest: httpx.Client, ledgers: Path, content: bytes) -> None:
    """What is no record, or too large, is left out, and the page has everything else."""
    pay(str(ledgers), FINISHED)
    (ledgers / FOLDER / "evolink" / "000002.json").write_bytes(content)
    entry = failed(guest)
    assert (entry["generation_id"], entry["model"]) == ("task-unified-1", None)


@pytest.mark.parametrize("name", ["evolink", "evolink/000001.json"])
def test_a_link_out_of_the_folder(guest: httpx.Client, ledgers: Path, tmp_path: Path, name: str) -> None:
    """A symbolic link to the ledger of another task, or to any other file, is not followed."""
    pay(str(ledgers), FINISHED, folder="secret")
    link = ledgers / FOLDER / name
    link.parent.mkdir(parents=True)
    link.symlink_to(ledgers / "secret" / name)
    assert failed(guest)["model"] is None


@pytest.mark.parametrize(
    "path", ["file:///no/such/folder", "s3://nowhere@bucket/ledgers", "sftp://nowhere@host/ledgers", "relative", "s3:"]
)
def test_a_storage_that_can_not_be_read(guest: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Whatever is wrong with the option on the api-server, the page shows what it has otherwise."""
    monkeypatch.setenv(OPTION, path)
    assert failed(guest)["model"] is None
