# SPDX-License-Identifier: Apache-2.0
"""The checkpoint saves work on a retry, and can do no harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_evolink.landing.checkpoint import STORE_KEY, Checkpoint
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result, render
from testkit.examples import GENERATION_ID
from tests import hostile

RESULT = Result(GENERATION_ID, 0, "https://files.example.com/a.mp4")
ENTRY: dict[str, Any] = {
    "uri": "file:///videos/a.mp4",
    "bytes": 5,
    "sha256": "ab" * 32,
    "content_type": "video/mp4",
    "generation_id": GENERATION_ID,
    "extension": "mp4",
}


class FixedStore:
    """A task state store that holds one value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self, key: str, default: Any = None) -> Any:
        assert key == STORE_KEY
        return self.value


def checkpoint(value: Any) -> Checkpoint:
    """Return the checkpoint that a store holds."""
    return Checkpoint(FixedStore(value), timedelta(days=1))


@pytest.mark.parametrize("change", [{"extension": "../../a"}, {"extension": ""}, {"extension": None}, {"more": 1}])
def test_invalid_entry_is_ignored(change: dict[str, Any]) -> None:
    """An entry that can't lead to the file's name is ignored: the file is downloaded and compared."""
    assert checkpoint({f"{GENERATION_ID}/0": ENTRY}).get(RESULT) is not None
    assert checkpoint({f"{GENERATION_ID}/0": {**ENTRY, **change}}).get(RESULT) is None


@given(hostile.corrupted({f"{GENERATION_ID}/0": ENTRY}) | hostile.anything)
def test_any_stored_value_is_an_entry_or_ignored(stored: Any) -> None:
    """Whatever the store holds, an entry that is used names the file as the pattern would."""
    landed = checkpoint(stored).get(RESULT)
    if landed is not None:
        assert render(DEFAULT_PATTERN, RESULT, landed.media_type) == f"{GENERATION_ID}/0.{landed.extension}"
        assert landed.generation_id == GENERATION_ID


def test_files_written_by_the_task() -> None:
    """A file is the task's own if the task has written it; entries without that field are of such files."""
    existing = {**ENTRY, "written": False, "upload_id": None}
    own = {**ENTRY, "written": True, "upload_id": "u1"}
    loaded = checkpoint(
        {"task-a/0": ENTRY, "task-b/0": existing, "task-c/0": own, "task-d/0": {**own, "uri": "file:///b"}}
    )
    assert len(loaded.written_to(ENTRY["uri"])) == 2
    assert loaded.uploads_to(ENTRY["uri"]) == ["u1"]
    assert loaded.written_to("file:///elsewhere") == []


@given(hostile.corrupted({f"{GENERATION_ID}/0": {**ENTRY, "written": True, "upload_id": "u1"}}) | hostile.anything)
def test_any_stored_value_yields_entries_of_the_uri_only(stored: Any) -> None:
    """Whatever the store holds, the entries for a URI are of that URI."""
    loaded = checkpoint(stored)
    assert all(landed.uri == ENTRY["uri"] for landed in loaded.written_to(ENTRY["uri"]))
    assert all(isinstance(upload_id, str) and upload_id for upload_id in loaded.uploads_to(ENTRY["uri"]))
