"""What a task remembers of its landings: it saves work, and can do no harm."""

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
NOTED: dict[str, Any] = {
    "uri": "file:///videos/a.mp4",
    "bytes": 5,
    "sha256": "ab" * 32,
    "content_type": "video/mp4",
    "generation_id": GENERATION_ID,
    "extension": "mp4",
}


class Held:
    """A task state store that holds a value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self, key: str, default: Any = None) -> Any:
        assert key == STORE_KEY
        return self.value


def notes(value: Any) -> Checkpoint:
    """The notes that a store holds."""
    return Checkpoint(Held(value), timedelta(days=1))


@pytest.mark.parametrize("change", [{"extension": "../../a"}, {"extension": ""}, {"extension": None}, {"more": 1}])
def test_a_note_that_is_none_of_ours_is_no_note(change: dict[str, Any]) -> None:
    """A note that could not lead to the file's name is as if it were not there: the file is fetched and compared."""
    assert notes({f"{GENERATION_ID}/0": NOTED}).get(RESULT) is not None
    assert notes({f"{GENERATION_ID}/0": {**NOTED, **change}}).get(RESULT) is None


@given(hostile.gone_wrong({f"{GENERATION_ID}/0": NOTED}) | hostile.anything)
def test_any_stored_value_is_a_note_or_none(stored: Any) -> None:
    """Whatever the store holds, a note that is believed names a file as the pattern would."""
    found = notes(stored).get(RESULT)
    if found is not None:
        assert render(DEFAULT_PATTERN, RESULT, found.media_type) == f"{GENERATION_ID}/0.{found.extension}"
        assert found.generation_id == GENERATION_ID


def test_what_a_task_has_written() -> None:
    """A file under a name is this task's own if it has written it; notes of earlier versions hold only such."""
    found = {**NOTED, "written": False, "upload": None}
    own = {**NOTED, "written": True, "upload": "u1"}
    kept = notes({"task-a/0": NOTED, "task-b/0": found, "task-c/0": own, "task-d/0": {**own, "uri": "file:///b"}})
    assert len(kept.written_to(NOTED["uri"])) == 2
    assert kept.uploads_to(NOTED["uri"]) == ["u1"]
    assert kept.written_to("file:///elsewhere") == []


@given(hostile.gone_wrong({f"{GENERATION_ID}/0": {**NOTED, "written": True, "upload": "u1"}}) | hostile.anything)
def test_any_stored_value_names_uploads_or_none(stored: Any) -> None:
    """Whatever the store holds, what is taken from it for a name is of that name."""
    kept = notes(stored)
    assert all(landed.uri == NOTED["uri"] for landed in kept.written_to(NOTED["uri"]))
    assert all(isinstance(upload, str) and upload for upload in kept.uploads_to(NOTED["uri"]))
