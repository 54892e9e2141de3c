# SPDX-License-Identifier: Apache-2.0
"""A table that changes between two tries, or between two workers of one try."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidRowsError
from airflow_provider_evolink.batch.rows import Row
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.row_requests import RowRequests
from tests.batch.batches import batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, charges, failure_of, lines_of, submissions
from tests.operators.submissions import DyingStore, WorkerDied
from tests.task_harness import TaskHarness, first_event

pytestmark = pytest.mark.usefixtures("each_ledger")

ROWS = rows(6)
IMAGES = Path(__file__).parent.parent / "data"


def changed(rows_: Sequence[dict[str, Any]], key: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the rows with other fields for one of them."""
    return [{**row, **fields} if row["sku"] == key else row for row in rows_]


def test_rows_that_were_added_are_generated(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Wherever they were added, and whatever the order of the others is now."""
    run(harness, batch(ROWS[1:4], tmp_path, max_in_flight=2))

    reordered = [ROWS[5], ROWS[3], ROWS[0], ROWS[2], ROWS[1], ROWS[4]]
    summary = clear(harness, batch(reordered, tmp_path, max_in_flight=2))

    assert_all_landed(summary, reordered, evolink)


def test_rows_that_were_removed_are_left_alone(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their files stay, the log names their generations, and if they come back they are known."""
    lines = {line["key"]: line for line in manifest(run(harness, batch(ROWS[:3], tmp_path)))}

    summary = clear(harness, batch(ROWS[1:2], tmp_path))

    assert [line["key"] for line in manifest(summary)] == ["A1"]
    assert (summary["total"], summary["landed"]) == (1, 1)
    assert (tmp_path / "A0" / "0.mp4").exists()
    log = capsys.readouterr().out
    assert lines["A0"]["generation_id"] in log
    assert lines["A2"]["generation_id"] in log
    assert_all_landed(clear(harness, batch(ROWS[:3], tmp_path)), ROWS[:3], evolink)


@pytest.mark.parametrize("is_landed", [True, False])
def test_a_changed_row_fails(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, is_landed: bool) -> None:
    """With ``on_changed_input="fail"`` its own row fails, landed or not, until it is restored."""
    if not is_landed:
        harness.store = DyingStore(2, after=True)
    try:
        run(harness, batch(ROWS[:2], tmp_path))
    except WorkerDied:
        assert not is_landed

    failure = failure_of(clear, harness, batch(changed(ROWS[:2], "A1", prompt="Another"), tmp_path))

    assert failure.permanent
    lines = lines_of(failure)
    assert [line["status"] for line in lines.values()] == ["landed", "failed"]
    assert lines["A1"]["error"]["code"] == "StaleRequest"
    assert submissions(evolink) == 2
    assert_all_landed(retry(harness, batch(ROWS[:2], tmp_path)), ROWS[:2], evolink)


@pytest.mark.parametrize("is_landed", [True, False])
def test_a_changed_row_is_paid_anew(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, is_landed: bool
) -> None:
    """With ``on_changed_input="resubmit"`` a row is generated anew, once, and replaces its own file."""
    if not is_landed:
        harness.store = DyingStore(2, after=True)
    try:
        run(harness, batch(ROWS[:2], tmp_path))
    except WorkerDied:
        assert not is_landed
    operator = batch(changed(ROWS[:2], "A1", prompt="Another"), tmp_path, on_changed_input="resubmit")

    summary = retry(harness, operator)

    assert summary["landed"] == 2
    assert charges(evolink) == {"Product 0": 1, "Product 1": 1, "Another": 1}
    assert [line["tries"] for line in manifest(summary)] == [1, 2]
    assert sorted(path.name for path in (tmp_path / "A1").iterdir()) == ["0.mp4"]
    assert clear(harness, operator) == summary


def test_a_table_that_changes_between_two_workers(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker checks all rows again: new ones are generated, and none is generated twice."""
    table = tmp_path / "table.csv"
    _write(table, ROWS[:4])
    versions = iter([[ROWS[4], *ROWS[:4]], [*ROWS[2:5], *ROWS[:2]]])

    async def change_and_wait(trigger: Any) -> Any:
        if (version := next(versions, None)) is not None:
            _write(table, version)
        return await first_event(trigger)

    monkeypatch.setattr("tests.batch.batches.first_event", change_and_wait)
    summary = run(harness, batch(str(table), tmp_path / "out", max_in_flight=1))

    assert_all_landed(summary, [*ROWS[2:5], *ROWS[:2]], evolink)


def test_a_table_that_loses_rows_between_two_workers(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are no longer there are left alone, and the manifest has those that are."""
    table = tmp_path / "table.csv"
    _write(table, ROWS[:4])

    async def shorten_and_wait(trigger: Any) -> Any:
        _write(table, ROWS[1:3])
        return await first_event(trigger)

    monkeypatch.setattr("tests.batch.batches.first_event", shorten_and_wait)
    summary = run(harness, batch(str(table), tmp_path / "out", max_in_flight=2))

    assert [(line["key"], line["status"]) for line in manifest(summary)] == [("A1", "landed"), ("A2", "landed")]
    assert set(charges(evolink).values()) == {1}


def test_duplicate_keys_never_touch_the_first_row(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """With ``on_invalid="skip"`` the second row of a key, an invalid one and one without a key are left out."""
    bad = [{**ROWS[0], "prompt": "The same key"}, {"sku": "B", "prompt": ""}, {"prompt": "No key"}]
    table = [*ROWS[:2], *bad, *ROWS[2:4]]
    operator = batch(table, tmp_path, on_invalid="skip", max_in_flight=1)
    for attempt in (run, retry, clear):
        summary = attempt(harness, operator)

        lines = manifest(summary)
        assert [line["key"] for line in lines] == ["A0", "A1", "A0", "B", None, "A2", "A3"]
        assert [line["status"] for line in lines] == ["landed"] * 2 + ["skipped"] * 3 + ["landed"] * 2
        assert all(line["error"]["text"] for line in lines if line["status"] == "skipped")
        assert (summary["total"], summary["landed"], summary["skipped"]) == (7, 4, 3)
        assert charges(evolink) == {row["prompt"]: 1 for row in ROWS[:4]}


def test_an_invalid_row_is_generated_once_it_is_valid(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A row that was skipped for its values is sent by the next try that finds it valid."""
    invalid = changed(ROWS[:3], "A1", prompt="")
    assert run(harness, batch(invalid, tmp_path, on_invalid="skip"))["skipped"] == 1
    failure = failure_of(clear, harness, batch(invalid, tmp_path))
    assert isinstance(failure, InvalidRowsError)

    assert_all_landed(retry(harness, batch(ROWS[:3], tmp_path)), ROWS[:3], evolink)


def test_a_paid_row_whose_image_is_gone_is_resumed(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """What is paid for lands, even if its input can't be read and compared any more."""
    image = tmp_path / "a.png"
    image.write_bytes((IMAGES / "frame.png").read_bytes())
    table = [{**row, "image": str(image)} for row in ROWS[:2]]
    harness.store = DyingStore(2, after=True)
    model = {"model": "gemini-omni-flash-image-to-video"}
    with pytest.raises(WorkerDied):
        run(harness, batch(table, tmp_path / "out", **model))
    sent = submissions(evolink)
    image.unlink()

    summary = retry(harness, batch(table, tmp_path / "out", **model))

    assert summary["landed"] == 2
    assert submissions(evolink) == sent == 2


def test_an_image_that_can_t_be_read_for_a_moment(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it happens after the check of all rows, its own row is left to the retry, and the others land."""
    prepare, calls = RowRequests.prepare, Counter[str]()

    def flaky(self: RowRequests, row: Row) -> Any:
        calls[row.key] += 1
        if row.key == "A1" and calls["A1"] == 2:
            raise ConnectionError("the storage is down")
        return prepare(self, row)

    monkeypatch.setattr(RowRequests, "prepare", flaky)
    failure = failure_of(run, harness, batch(ROWS[:3], tmp_path, max_in_flight=1))

    lines = lines_of(failure)
    assert not failure.permanent
    assert [line["status"] for line in lines.values()] == ["landed", "unfinished", "landed"]
    assert "the storage is down" in lines["A1"]["error"]["text"]
    assert_all_landed(retry(harness, batch(ROWS[:3], tmp_path, max_in_flight=1)), ROWS[:3], evolink)


def test_an_empty_table(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A table without rows costs nothing, and has an empty manifest."""
    summary = run(harness, batch([], tmp_path))

    assert manifest(summary) == []
    assert (summary["total"], summary["landed"]) == (0, 0)
    assert submissions(evolink) == 0


def _write(path: Path, table: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def test_a_changed_row_whose_old_file_may_have_landed(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A file of which nobody knows whether the row has made it is neither taken for the new one nor replaced."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        run(harness, batch(ROWS[:1], tmp_path))
    while not (tmp_path / "A0" / "0.mp4").exists():
        time.sleep(0.01)
    operator = batch(changed(ROWS[:1], "A0", prompt="Another"), tmp_path, on_changed_input="resubmit")

    failure = failure_of(retry, harness, operator)

    assert failure.permanent
    assert lines_of(failure)["A0"]["error"]["code"] == "FileConflict"
    assert lines_of(failure)["A0"]["generation_id"] in str(failure)
    assert submissions(evolink) == 1
    (tmp_path / "A0" / "0.mp4").unlink()
    assert clear(harness, operator)["landed"] == 1
    assert charges(evolink) == {"Product 0": 1, "Another": 1}
