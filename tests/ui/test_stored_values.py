# SPDX-License-Identifier: Apache-2.0
"""Values that Airflow's object-storage XCom backend keeps in files are shown, and no other files are read as values."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_evolink.links import addresses
from airflow_provider_evolink.ui import stored_values
from testkit.s3 import BUCKET, S3
from tests.marks import needs_state_stores
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance
from tests.ui.auth_manager import OWN_DAG
from tests.ui.landed import landed, record

RUN = addresses.entries(OWN_DAG, RUN_ID)
FILE = addresses.file(OWN_DAG, RUN_ID, "land")
# Serializes values in a process of its own, as a worker does: the backend keeps its configuration.
WORKER = """
import json, sys
from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend
dag_id, run_id, values = json.loads(sys.argv[1])
place = {"dag_id": dag_id, "run_id": run_id, "task_id": "land"}
print(json.dumps([XComObjectStorageBackend.serialize_value(value, **place) for value in values]))
"""


@pytest.fixture
def xcoms(ui: AirflowUi, videos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the backend, which keeps every value in a file."""
    folder = videos.parent / "xcoms"
    folder.mkdir()
    configure(monkeypatch, f"file://{folder}")
    return folder


def configure(monkeypatch: pytest.MonkeyPatch, path: str, **options: str) -> None:
    """Configure Airflow's backend."""
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", stored_values._BACKEND)
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", path)
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "0")
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_{name}", value)


def push(*values: Any) -> list[str]:
    """Return what Airflow's database gets in place of values."""
    given = json.dumps([OWN_DAG, RUN_ID, values])
    ran = subprocess.run([sys.executable, "-c", WORKER, given], capture_output=True, text=True, check=True)
    stored: list[str] = json.loads(ran.stdout.splitlines()[-1])
    return stored


def kept(xcoms: Path, content: bytes, name: str = "a", dag_id: str = OWN_DAG, task_id: str = "land") -> str:
    """Put a file where the backend puts the values of a task; return what it pushes in place of them."""
    file = xcoms / dag_id / RUN_ID / task_id / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file.as_uri().replace("%3A", ":").replace("%2B", "+")


def file_in(videos: Path) -> dict[str, Any]:
    """Return a landed file."""
    (videos / "0.mp4").write_bytes(b"video")
    return landed(videos / "0.mp4")


@pytest.mark.parametrize("compression", ["", "gzip"])
def test_a_record_in_a_file(
    guest: httpx.Client, xcoms: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    """A record that the backend keeps in a file, compressed or not, is shown with all it has, and its file plays."""
    configure(monkeypatch, f"file://{xcoms}", COMPRESSION=compression)
    stored, generation_id, manifest = push(record(file_in(videos)), "task-unified-1", "")
    add_task_instance(return_value=stored, generation_id=generation_id, manifest_link=manifest)
    [entry] = guest.get(RUN).json()["entries"]
    assert (entry["status"], entry["servable"], entry["credits"]) == ("landed", True, 10.0)
    assert entry["generation_id"] == "task-unified-1"
    assert guest.get(FILE).content == b"video"


def test_a_record_in_s3(
    guest: httpx.Client, ui: AirflowUi, videos: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value in a bucket is read with the connection of the configured path."""
    monkeypatch.setenv("AIRFLOW_CONN_XCOMS", s3.connection)
    configure(monkeypatch, f"s3://xcoms@{BUCKET}/xcoms")
    add_task_instance(return_value=push(record(file_in(videos)))[0])
    [entry] = guest.get(RUN).json()["entries"]
    assert entry["servable"]


@needs_state_stores
def test_the_generation_of_a_record_in_a_file(guest: httpx.Client, xcoms: Path, videos: Path) -> None:
    """A transfer knows from the ledger what the paying task has, if that one's record is in a file."""
    made = record(model="other")
    add_task_instance(
        "make", return_value=kept(xcoms, json.dumps(made).encode(), task_id="make"),
        generation_id="task-unified-1", rendered={"prompt": "a cat"},
        ledger={"phase": "finished", "intent_at": 5.0, "model": "other", "result": made},
    )  # fmt: skip
    add_task_instance("transfer", operator="EvoLinkToObjectStorageOperator", return_value=[file_in(videos)])
    [entry] = guest.get(addresses.entries(OWN_DAG, RUN_ID, "transfer")).json()["entries"]
    assert (entry["prompt"], entry["model"], entry["credits"]) == ("a cat", "other", 10.0)


def shown(client: httpx.Client, returned: Any) -> str:
    """Return why a value is not shown that a task of ours has pushed; nothing of it is."""
    add_task_instance(return_value=returned)
    [entry] = client.get(RUN).json()["entries"]
    assert (entry["status"], entry["servable"]) == ("unknown", False)
    assert client.get(FILE).status_code == 404
    return str(entry["why_not"])


@pytest.mark.parametrize(
    "path",
    [
        "{xcoms}/secret/{run}/land/a",
        "{xcoms}/" + OWN_DAG + "/{run}/land/../../../secret/{run}/land/a",
        "{xcoms}/" + OWN_DAG + "/{run}/land/%2e%2e/%2e%2e/%2e%2e/secret/{run}/land/a",
        "{xcoms}/" + OWN_DAG + "/{run}/land/link",
        "{xcoms}/" + OWN_DAG + "/{run}/other/a",
        "{xcoms}/" + OWN_DAG + "/{run}/land/missing",
        "{xcoms}/" + OWN_DAG + "/{run}/land",
    ],
    ids=["another DAG", "climbing", "encoded", "a link", "another task", "missing", "a folder"],
)
def test_a_path_that_somebody_has_pushed(guest: httpx.Client, xcoms: Path, videos: Path, path: str) -> None:
    """A file elsewhere than in the folder of the task itself is not read, whatever its record is."""
    content = json.dumps(record(file_in(videos))).encode()
    kept(xcoms, content, dag_id="secret")
    kept(xcoms, content, task_id="other")
    kept(xcoms, content, "its own")
    (xcoms / OWN_DAG / RUN_ID / "land" / "link").symlink_to(xcoms / "secret" / RUN_ID / "land" / "a")
    assert "not where that backend puts" in shown(guest, "file://" + path.format(xcoms=xcoms, run=RUN_ID))


@pytest.mark.parametrize("content", [b"no JSON", b"[" * 100_000, b"x" * (stored_values.MAX_BYTES + 1), b"\xff"])
def test_a_file_that_is_no_value(guest: httpx.Client, xcoms: Path, content: bytes) -> None:
    """What is no JSON, or too large, is not shown, and the page says why."""
    assert "something else" in shown(guest, kept(xcoms, content))


def test_a_file_that_grows_when_it_is_unpacked(guest: httpx.Client, xcoms: Path) -> None:
    """No more is unpacked than may be shown."""
    packed = gzip.compress(b" " * (stored_values.MAX_BYTES + 1))
    assert "something else" in shown(guest, kept(xcoms, packed, "a.gz"))


def test_a_class_in_a_file_is_not_made(guest: httpx.Client, xcoms: Path, videos: Path) -> None:
    """A value that names a class to make is taken as plain JSON."""
    value = {"__classname__": "pathlib.PosixPath", "__version__": 1, "__data__": "/tmp"}
    add_task_instance(return_value=kept(xcoms, json.dumps([value, file_in(videos)]).encode()))
    [entry] = guest.get(RUN).json()["entries"]
    assert entry["name"] == "0.mp4"
    add_task_instance("b", return_value=kept(xcoms, json.dumps(value).encode(), task_id="b"))
    assert len(guest.get(RUN).json()["entries"]) == 1


@pytest.mark.parametrize("backend", ["airflow.sdk.bases.xcom.BaseXCom", "tests.ui.auth_manager.Other"])
def test_another_backend(
    guest: httpx.Client, xcoms: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """Under another backend a text is no path, and the page says what it would read."""
    stored = kept(xcoms, json.dumps(record(file_in(videos))).encode())
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", backend)
    assert "object storage" in shown(guest, stored)
