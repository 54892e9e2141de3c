# SPDX-License-Identifier: Apache-2.0
"""What our tasks have returned becomes a list to show, whatever somebody has written there instead."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.ui.entries import (
    Entry,
    Facts,
    ManifestError,
    TaskValues,
    completed,
    entries_of,
    facts_of,
)
from airflow_provider_evolink.ui.gallery import shown
from tests.ui.landed import GENERATION_ID, landed, record

FILE = landed(Path("/data/videos/0.mp4"))
SHA256 = FILE["sha256"]
LINES = (
    {"key": "a", "status": "landed", "generation_id": "g1", "uris": ["s3://b/a.mp4", "s3://b/a.jpg"], "bytes": [1, 2],
     "sha256": [SHA256, SHA256], "posters": ["s3://b/a.mp4.poster.jpg", None], "credits": 4, "error": None, "tries": 1,
     "model": "m", "prompt": "a cat", "seconds": 71.5},
    {"key": "b", "status": "failed", "generation_id": "g2", "uris": [], "bytes": [], "sha256": [], "credits": 0,
     "error": {"code": "content_policy", "text": "It was refused."}, "tries": 1},
    {"key": "c", "status": "skipped", "generation_id": None, "uris": ["s3://b/c.mp4"], "bytes": [], "sha256": [],
     "credits": None, "error": None, "tries": 0},
)  # fmt: skip
SUMMARY = {"manifest": "s3://b/m.jsonl", "total": 3, "landed": 1, "skipped": 1, "failed": 1, "unfinished": 0}


def read_manifest(uri: str, number: int) -> tuple[Iterator[Mapping[str, Any]], int]:
    """Return the lines of a manifest, from the one that has the entry of that number on."""
    if uri != "s3://b/m.jsonl":
        raise ManifestError("The manifest can't be read.")
    first, start = ((0, 0), (0, 0), (1, 2), (2, 3))[min(number, 3)]
    return iter(LINES[first:]), start


def entries(returned: Any = None, **facts: Any) -> list[Entry]:
    """Return the entries of a task instance."""
    values = TaskValues("land", 3, **{"state": "success", "is_ours": True, "returned": returned, **facts})
    return list(entries_of(values, read_manifest))


def test_a_record_with_landed_files() -> None:
    """A record shows each of its files with what the record knows of the generation."""
    files = [FILE, {**FILE, "uri": "file:///data/videos/1.png", "content_type": "image/png"}]
    first, second = entries(record(*files))
    assert (first.task_id, first.map_index, first.number, second.number) == ("land", 3, 0, 1)
    assert (first.uri, first.name, first.bytes, first.sha256) == (FILE["uri"], "0.mp4", 0, SHA256)
    assert first.facts == Facts(model="wan2.5-image-to-video", credits=10.0, duration=90.0)
    assert second.content_type == "image/png"


def test_a_list_of_landed_files() -> None:
    """What the transfer returns shows each file, with its poster and what the entry itself knows."""
    file = {**FILE, "poster": "file:///data/videos/0.mp4.poster.jpg", "storage_conn_id": "c", "prompt": "a cat"}
    [entry] = entries([file])
    assert (entry.generation_id, entry.poster, entry.conn_id) == (GENERATION_ID, file["poster"], "c")
    assert entry.facts.prompt == "a cat"


def test_several_records() -> None:
    """A task that returns several records shows the files of all."""
    assert [entry.number for entry in entries([record(FILE), record(FILE, FILE)])] == [0, 1, 2]


@pytest.mark.parametrize("returned", [SUMMARY, [record(FILE), record(FILE, FILE)]])
def test_from_an_entry_on(returned: Any) -> None:
    """The entries from one on are the same as among all, with their numbers."""
    values = TaskValues("land", 3, state="success", is_ours=True, returned=returned)
    for first in range(6):
        assert list(entries_of(values, read_manifest, first)) == entries(returned)[first:]


def test_a_batch() -> None:
    """A batch shows the files of its manifest and the rows without any, in the order of the rows."""
    shown_entries = entries(SUMMARY)
    assert [entry.name for entry in shown_entries] == ["a.mp4", "a.jpg", "b", "c.mp4"]
    assert [entry.status for entry in shown_entries] == ["landed", "landed", "failed", "skipped"]
    assert [entry.content_type for entry in shown_entries] == ["video/mp4", "image/jpeg", None, "video/mp4"]
    assert [entry.poster for entry in shown_entries] == ["s3://b/a.mp4.poster.jpg", None, None, None]
    assert shown_entries[1].bytes == 2
    assert shown_entries[2].facts.error == "It was refused."
    assert [entry.facts for entry in shown_entries[:2]] == [Facts("a cat", "m", 4, 71.5)] * 2
    assert shown_entries[3].facts == Facts()


def test_a_batch_that_has_failed() -> None:
    """A batch that has failed shows what its manifest says, as far as it has written one."""
    assert len(entries(None, state="failed", manifest="s3://b/m.jsonl")) == 4
    [entry] = entries(None, state="failed", manifest="")
    assert entry.status == "failed"


def test_a_manifest_that_can_not_be_read() -> None:
    """A batch whose manifest can't be read says so in place of its files."""
    [entry] = entries({**SUMMARY, "manifest": "s3://elsewhere/m.jsonl"})
    assert (entry.status, entry.why_not) == ("unknown", "The manifest can't be read.")


def test_a_recovery() -> None:
    """A recovery shows the files that it has landed and the generations that it has lost, with the reason."""
    failed = [{"generation_id": "g9", "code": "x", "text": "The link is dead."}]
    first, second = entries({"found": 2, "landed": [FILE], "failed": failed, "skipped": 0, "under_way": 0})
    assert first.uri == FILE["uri"]
    assert (second.status, second.generation_id, second.facts.error) == ("failed", "g9", "The link is dead.")


def test_a_failed_instance() -> None:
    """An instance that has failed is shown with its generation, if it is one of ours, and not otherwise."""
    [entry] = entries(None, state="failed", generation_id="g1")
    assert (entry.status, entry.generation_id, entry.uri) == ("failed", "g1", None)
    assert entry.facts.error == "The task failed; its log says why."
    assert completed(entry, Facts(error="refused", model="m")).facts == Facts(error="refused", model="m")
    assert len(entries(None, state="failed", is_ours=False, generation_id="g1")) == 1
    assert entries(None, state="failed", is_ours=False) == []
    assert entries(None, state="running", generation_id="g1") == []


def test_a_value_of_another_backend() -> None:
    """A value that Airflow's XCom backend keeps elsewhere is named as that, for our tasks only."""
    [entry] = entries("s3://xcoms/a/b.json")
    assert entry.status == "unknown"
    assert "XCom backend" in str(entry.why_not)
    assert entries("s3://xcoms/a/b.json", is_ours=False) == []
    assert entries("done") == []


def test_an_upload_is_no_result() -> None:
    """What an upload task returns, and a record without files, show nothing."""
    upload = {"link": "https://f.example/a.png", "sha256": SHA256, "content_type": "image/png", "source": "/a.png"}
    assert entries(upload) == []
    assert entries([upload]) == []
    assert entries(record()) == []


@pytest.mark.parametrize(
    "change",
    [{"bytes": True}, {"bytes": -1}, {"bytes": 10**400}, {"bytes": "7"}, {"sha256": "x" * 64}, {"sha256": 'a"\r\nB: c'},
     {"sha256": SHA256.upper()}, {"content_type": ["video/mp4"]}, {"content_type": "video/mp4\r\nX: y"},
     {"generation_id": {"a": 1}}, {"poster": 7}, {"prompt": "\ud800\0\x1b[31m"}, {"storage_conn_id": 3}],
)  # fmt: skip
def test_fields_of_the_wrong_kind(change: dict[str, Any]) -> None:
    """A field of the wrong kind is taken as unknown, and what is left can be sent as JSON and in headers."""
    [entry] = entries([{**FILE, **change}])
    text = json.dumps(shown(entry, ()), allow_nan=False, ensure_ascii=False)
    assert text.encode().isascii()
    assert entry.sha256 in {None, SHA256}
    assert (entry.content_type or "").isprintable()


@pytest.mark.parametrize("number", [math.nan, math.inf, True, 10**400, "3", None, [1]])
def test_numbers_that_are_none(number: Any) -> None:
    """Credits that are no finite number are unknown."""
    assert facts_of({"usage": {"credits_used": number}}).credits is None


def test_facts_of_a_generation() -> None:
    """Prompt and error come from the rendered fields and the ledger where the record lacks them."""
    assert facts_of(None, {"parameters": {"prompt": "a cat"}}).prompt == "a cat"
    assert facts_of(None, {"prompt": "a dog"}).prompt == "a dog"
    assert facts_of(None, {"parameters": "{'prompt': 'too long"}).prompt is None
    assert facts_of(None, None, {"model": "m", "error": "refused"}) == Facts(model="m", error="refused")
    assert facts_of(record(usage={"credits_used": None, "credits_reserved": 12.0})).credits == 12.0
    assert facts_of(record(finished_at="2026-11-27T19:00:00+00:00")).duration is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda value: (
        st.lists(value, max_size=4)
        | st.dictionaries(st.sampled_from([*FILE, *SUMMARY, *record(), "found", "text", "uris", "usage"]), value)
    ),
    max_leaves=20,
)


@given(JSON, JSON, JSON)
def test_any_value_at_all(returned: Any, generation_id: Any, manifest: Any) -> None:
    """Whatever a task has returned, the list can be made and sent."""
    values = TaskValues("t", -1, "failed", True, returned, generation_id, manifest)
    for entry in entries_of(values, read_manifest):
        json.dumps(shown(completed(entry, facts_of(returned, generation_id, manifest)), ()), allow_nan=False)
