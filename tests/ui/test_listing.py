# SPDX-License-Identifier: Apache-2.0
"""The list of a run shows what its tasks have made, with what each of them knows, page by page."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_evolink.links import addresses
from airflow_provider_evolink.ui import manifests
from tests.marks import needs_state_stores
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance
from tests.ui.auth_manager import OWN_DAG
from tests.ui.landed import landed, record

RUN = addresses.entries(OWN_DAG, RUN_ID)
TRANSFER = "EvoLinkToObjectStorageOperator"


def listed(client: httpx.Client, address: str = RUN) -> list[dict[str, Any]]:
    """Return the entries at an address."""
    entries: list[dict[str, Any]] = client.get(address).raise_for_status().json()["entries"]
    return entries


@pytest.fixture
def file(ui: AirflowUi, videos: Path) -> dict[str, Any]:
    """A landed file."""
    (videos / "0.mp4").write_bytes(b"video")
    return landed(videos / "0.mp4")


def test_all_of_an_entry(guest: httpx.Client, file: dict[str, Any]) -> None:
    """An entry has what the page shows, and no address."""
    add_task_instance(
        map_index=2,
        return_value=record(file),
        generation_id="task-unified-1",
        rendered={"parameters": {"prompt": "a cat"}},
    )
    assert listed(guest) == [
        {
            "task_id": "land", "map_index": 2, "number": 0, "kind": "video", "content_type": "video/mp4", "bytes": 5,
            "status": "landed", "error": None, "prompt": "a cat", "model": "wan2.5-image-to-video", "credits": 10.0,
            "duration": 90.0, "generation_id": "task-unified-1", "name": "0.mp4", "has_poster": False, "servable": True,
            "why_not": None,
        }
    ]  # fmt: skip


def test_a_transfer_knows_what_the_paying_task_knows(guest: httpx.Client, file: dict[str, Any]) -> None:
    """A file that another task has landed has the prompt and the price of the task that paid for it."""
    made = record(model="other")
    add_task_instance("make", return_value=made, generation_id="task-unified-1", rendered={"prompt": "a cat"})
    add_task_instance("land", operator=TRANSFER, return_value=[file])
    [entry] = listed(guest, addresses.entries(OWN_DAG, RUN_ID, "land"))
    assert (entry["task_id"], entry["prompt"], entry["credits"], entry["model"]) == ("land", "a cat", 10.0, "other")


@needs_state_stores
def test_failed_instances(guest: httpx.Client, file: dict[str, Any]) -> None:
    """Mapped instances that have failed are shown among the others, with the reason that their ledger has."""
    add_task_instance(map_index=0, return_value=record(file))
    add_task_instance(
        map_index=1, state="failed", generation_id="task-unified-7", rendered={"prompt": "a dog"},
        ledger={"phase": "failed", "intent_at": 5.0, "model": "m", "error": "It was refused."},
    )  # fmt: skip
    add_task_instance(map_index=2, state="failed")
    add_task_instance(map_index=3, state="running", generation_id="task-unified-8")
    add_task_instance("other", state="failed", operator="PythonOperator")
    first, second, third = listed(guest)
    assert first["status"] == "landed"
    assert (second["status"], second["map_index"], second["generation_id"]) == ("failed", 1, "task-unified-7")
    assert (second["error"], second["prompt"], second["model"]) == ("It was refused.", "a dog", "m")
    assert (third["map_index"], third["error"]) == (2, "The task failed; its log says why.")
    assert not second["servable"]


def test_task_and_instance(guest: httpx.Client, file: dict[str, Any]) -> None:
    """The list of a task, and of one of its instances, has no entries of others."""
    for task_id, map_index in (("a", 0), ("a", 1), ("b", -1)):
        add_task_instance(task_id, map_index, return_value=record(file))
    add_task_instance(dag_id="secret", return_value=record(file))
    assert len(listed(guest)) == 3
    assert len(listed(guest, addresses.entries(OWN_DAG, RUN_ID, "a"))) == 2
    [entry] = listed(guest, addresses.entries(OWN_DAG, RUN_ID, "a", 1))
    assert entry["map_index"] == 1


def test_pages(guest: httpx.Client, file: dict[str, Any]) -> None:
    """The pages of a run with many instances hold each entry once, in order, and say whether more follow."""
    for map_index in range(230):
        add_task_instance(map_index=map_index, return_value=record(file))
    found, offset, more = [], 0, True
    while more:
        page = guest.get(f"{RUN}&offset={offset}&limit=70").json()
        found += [entry["map_index"] for entry in page["entries"]]
        more, offset = page["more"], offset + 70
    assert found == list(range(230))


def test_values_as_the_two_apis_store_them(guest: httpx.Client, file: dict[str, Any]) -> None:
    """A value is read whether it was stored as JSON or, as Airflow's own models do, as a text with JSON."""
    add_task_instance("a", return_value=record(file))
    add_task_instance("b", return_value=json.dumps(record(file)), generation_id='"task-unified-1"')
    assert [entry["servable"] for entry in listed(guest)] == [True, True]


def test_a_class_in_a_value_is_not_made(guest: httpx.Client, file: dict[str, Any]) -> None:
    """A value that names a class to make is shown as nothing, and nothing is made."""
    value = {"__classname__": "pathlib.PosixPath", "__version__": 1, "__data__": "/tmp"}
    add_task_instance(return_value=value)
    add_task_instance("b", return_value=json.dumps([value, file]))
    assert [entry["task_id"] for entry in listed(guest)] == ["b"]


def test_a_batch(guest: httpx.Client, videos: Path, ui: AirflowUi) -> None:
    """A batch shows the rows of its manifest, and its files come by their number among them."""
    (videos / "b.mp4").write_bytes(b"second")
    lines = [
        {"key": "a", "status": "failed", "uris": [], "error": {"code": None, "text": "refused"}},
        {"key": "b", "status": "landed", "uris": [f"file://{videos}/b.mp4"], "bytes": [6], "sha256": ["0" * 64]},
    ]
    text = "\n".join(["no JSON", "[1]", *map(json.dumps, lines)])
    (videos / "manifest.jsonl").write_text(text)
    add_task_instance(return_value={"manifest": f"file://{videos}/manifest.jsonl", "total": 2})
    assert [(entry["name"], entry["status"]) for entry in listed(guest)] == [("a", "failed"), ("b.mp4", "landed")]
    file = addresses.file(OWN_DAG, RUN_ID, "land", number=1)
    assert (guest.get(file).content, guest.get(file).headers["etag"]) == (b"second", f'"{"0" * 64}"')
    assert guest.get(addresses.file(OWN_DAG, RUN_ID, "land", number=0)).status_code == 404
    (videos / "manifest.jsonl").write_text(json.dumps(lines[1]))
    assert [entry["name"] for entry in listed(guest)] == ["b.mp4"]


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 1000), ("MAX_LINES", 2)])
def test_the_rows_of_a_large_manifest(
    guest: httpx.Client, ui: AirflowUi, videos: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Of a manifest that is too large, the first rows are shown with their files, and what is left out is stated."""
    monkeypatch.setattr(manifests, limit, value)
    (videos / "0.mp4").write_bytes(b"video")
    line = {"key": "a", "status": "landed", "uris": [f"file://{videos}/0.mp4"], "generation_id": ""}
    line["generation_id"] = "g" * (399 - len(json.dumps(line)))
    (videos / "large.jsonl").write_text(f"{json.dumps(line)}\n" * 5)
    add_task_instance(return_value={"manifest": f"file://{videos}/large.jsonl", "total": 5})
    *rows, rest = listed(guest)
    assert [row["name"] for row in rows] == ["0.mp4", "0.mp4"]
    assert (rest["status"], rest["number"]) == ("unknown", 2)
    assert rest["why_not"].startswith("The rest of the batch is not shown")
    statuses = [guest.get(addresses.file(OWN_DAG, RUN_ID, "land", number=number)).status_code for number in range(4)]
    assert statuses == [200, 200, 404, 404]


def test_a_file_far_down_in_a_manifest(guest: httpx.Client, ui: AirflowUi, videos: Path) -> None:
    """The lines above a file are read once, and not for each file again."""
    (videos / "0.mp4").write_bytes(b"video")
    above = json.dumps({"key": "a", "status": "failed", "uris": []})
    last = json.dumps({"key": "b", "status": "landed", "uris": [f"file://{videos}/0.mp4"]})
    (videos / "long.jsonl").write_text(f"{above}\n" * 40_000 + last)
    add_task_instance(return_value={"manifest": f"file://{videos}/long.jsonl", "total": 40_001})
    file = addresses.file(OWN_DAG, RUN_ID, "land", number=40_000)
    taken = []
    for _ in range(4):
        begun = time.process_time()
        assert guest.head(file).status_code == 200
        taken.append(time.process_time() - begun)
    assert min(taken[1:]) < taken[0] / 2


def test_values_that_are_nested_too_deep(guest: httpx.Client, file: dict[str, Any]) -> None:
    """A text that no decoder can take hides nothing but itself."""
    add_task_instance("a", return_value="[" * 200_000)
    add_task_instance("b", return_value=record(file))
    assert [entry["task_id"] for entry in listed(guest)] == ["b"]


@pytest.mark.parametrize("place", ["outside", "missing"])
def test_a_manifest_is_read_below_a_root_only(guest: httpx.Client, ui: AirflowUi, videos: Path, place: str) -> None:
    """A manifest outside of the roots and one that is not there are not read."""
    (videos.parent / "outside.jsonl").write_text(json.dumps({"key": "secret", "status": "failed"}))
    folder = videos.parent if place == "outside" else videos
    add_task_instance(return_value={"manifest": f"file://{folder}/{place}.jsonl", "total": 1})
    [entry] = listed(guest)
    assert (entry["status"], entry["servable"]) == ("unknown", False)
    assert entry["why_not"].startswith("The batch's manifest")


def test_without_roots(guest: httpx.Client, file: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without roots the list says why no file is shown, and no file comes."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", "")
    add_task_instance(return_value=record(file))
    [entry] = listed(guest)
    assert (entry["servable"], "gallery_roots" in entry["why_not"]) == (False, True)
    assert guest.get(addresses.file(OWN_DAG, RUN_ID, "land")).status_code == 404
