# SPDX-License-Identifier: Apache-2.0
"""Later tries of a batch: what has landed is reused, and what is paid for is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, assert_true, charges, failure_of, lines_of, submissions
from tests.operators.submissions import DyingStore, WorkerDied
from tests.task_harness import Store, TaskHarness, asset_stores

pytestmark = pytest.mark.usefixtures("each_ledger")

ROWS = rows(5)


class CopyingHarness(TaskHarness):
    """A task instance whose ledger has a copy, as in a real Airflow."""

    copies = Store()

    @property
    def context(self) -> Any:
        """The context of the current attempt."""
        return {**super().context, **asset_stores(self.copies)}


@pytest.fixture
def copying() -> CopyingHarness:
    """A task instance of an Airflow that empties its store on a clear, as 3.4 does."""
    harness = CopyingHarness()
    harness.copies = Store()
    return harness


def test_a_clear_after_success_reuses_every_row(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Nothing is sent and nothing is downloaded, and the summary is the same."""
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    first = run(harness, operator)
    requests = evolink.control.state()["requests"]

    assert clear(harness, operator) == first
    assert evolink.control.state()["requests"] == requests
    assert_all_landed(first, ROWS, evolink)


def test_a_clear_can_pay_anew_and_replaces_its_own_files(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """With ``on_clear="resubmit"`` every row is generated once more, and has the new file under the old name."""
    operator = batch(ROWS[:2], tmp_path, on_clear="resubmit")
    before = manifest(run(harness, operator))

    summary = clear(harness, operator)

    after = manifest(summary)
    assert [line["uris"] for line in after] == [line["uris"] for line in before]
    assert {line["generation_id"] for line in after}.isdisjoint(line["generation_id"] for line in before)
    assert_true(after, evolink)
    assert set(charges(evolink).values()) == {2}
    assert summary["credits_used"] == pytest.approx(evolink.control.state()["credits"]["charged"])
    assert retry(harness, operator) == summary
    assert submissions(evolink) == 4


def test_a_crash_while_paying_anew_pays_anew_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A clear with ``on_clear="resubmit"`` is carried out once for each row, wherever its worker dies."""
    operator = batch(ROWS[:4], tmp_path, max_in_flight=2, on_clear="resubmit")
    run(harness, operator)
    summary, attempt = None, clear
    for write in (1, 2, 3, 4, 5, 100):
        store = DyingStore(write, after=write % 2 == 0)
        store.held = harness.store.held
        harness.store = store
        try:
            summary = attempt(harness, operator)
        except WorkerDied:
            attempt = retry
    assert summary is not None

    assert_true(manifest(summary), evolink)
    assert set(charges(evolink).values()) == {2}


def test_a_row_that_only_a_clear_lets_pay_anew_keeps_its_result_if_that_is_refused(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """If the new submissions are turned away, the task fails and the files stay; with "reuse" it succeeds again."""
    operator = batch(ROWS[:2], tmp_path, on_clear="resubmit")
    before = manifest(run(harness, operator))
    evolink.control.inject("http_error", on="submit", times=None, status=403)

    for attempt in (clear, retry):
        failure = failure_of(attempt, harness, operator)
        after = list(lines_of(failure).values())
        assert failure.permanent
        assert {line["status"] for line in after} == {"unfinished"}
        assert [line["uris"] for line in after] == [line["uris"] for line in before]
    summary = retry(harness, batch(ROWS[:2], tmp_path))

    assert manifest(summary) == before


@pytest.mark.parametrize("is_cleared", [False, True])
def test_the_copy_replaces_a_store_that_a_clear_has_emptied(
    evolink: EmulatorHandle, copying: CopyingHarness, tmp_path: Path, is_cleared: bool
) -> None:
    """Where a clear empties the task's store, rows in several chunks are reused all the same."""
    operator = batch(many := rows(120, duration=3), tmp_path)
    summary = run(copying, operator)
    sent = submissions(evolink)
    copying.store.held.clear()

    again = (clear if is_cleared else retry)(copying, operator)

    assert again == summary
    assert submissions(evolink) == sent
    assert_all_landed(again, many, evolink)


def test_the_copy_knows_what_was_paid_for_after_a_row_was_skipped(
    evolink: EmulatorHandle, copying: CopyingHarness, tmp_path: Path
) -> None:
    """An early try that sent nothing for a row must not hide the later one that paid, if the store is emptied."""
    file = tmp_path / "A0" / "0.mp4"
    file.parent.mkdir()
    file.write_bytes(b"not generated")
    operator = batch(ROWS[:2], tmp_path)
    assert run(copying, operator)["skipped"] == 1
    file.unlink()
    assert clear(copying, operator)["landed"] == 2
    copying.store.held.clear()

    summary = clear(copying, operator)

    assert_all_landed(summary, ROWS[:2], evolink)


@pytest.mark.parametrize("write", [1, 2, 3, 4, 5, 6])
def test_a_crash_and_an_emptied_store(
    evolink: EmulatorHandle, copying: CopyingHarness, tmp_path: Path, write: int
) -> None:
    """The copy is as good as the store after a crash at any write."""
    copying.store = DyingStore(write, after=False)
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    with pytest.raises(WorkerDied):
        run(copying, operator)
    copying.store.held.clear()

    assert_all_landed(clear(copying, operator), ROWS, evolink)


def test_a_file_that_is_gone_is_landed_again_without_paying(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A deleted file, and one that was cut off, are downloaded again; the others are left alone."""
    operator = batch(ROWS, tmp_path)
    before = manifest(run(harness, operator))
    (tmp_path / "A1" / "0.mp4").unlink()
    (tmp_path / "A3" / "0.mp4").unlink()

    summary = clear(harness, operator)

    assert manifest(summary) == before
    assert_all_landed(summary, ROWS, evolink)
    assert evolink.control.state()["requests"]["media"] == len(ROWS) + 2


@pytest.mark.parametrize("change", ["pattern", "destination"])
def test_files_stay_where_they_have_landed(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, change: str
) -> None:
    """A new pattern or destination is for rows to come: what has landed is not moved, even if its link is dead."""
    first = run(harness, batch(ROWS[:2], tmp_path))
    before = manifest(first)
    evolink.control.set_link_ttl(0)
    changed: dict[str, Any] = {"filename_pattern": "{key}-{index}.{ext}"} if change == "pattern" else {}
    folder = tmp_path / "other" if change == "destination" else tmp_path

    summary = clear(harness, batch(ROWS[:2], folder, **changed))

    assert manifest(summary) == before
    assert_all_landed(summary, ROWS[:2], evolink)


def test_what_is_under_way_lands_under_the_new_name(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """If the pattern changes before a row has landed, it lands under its new name, once."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        run(harness, batch(ROWS[:2], tmp_path))

    summary = retry(harness, batch(ROWS[:2], tmp_path, filename_pattern="{key}-{index}.{ext}"))

    assert_all_landed(summary, ROWS[:2], evolink)
    assert manifest(summary)[0]["uris"] == [f"file://{tmp_path}/A0-0.mp4"]


def test_an_intent_in_another_chunk_of_the_copy_is_not_sent(
    evolink: EmulatorHandle, copying: CopyingHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intent that only reached the copy is not sent again if the row was submitted from another chunk since."""
    monkeypatch.setattr("airflow_provider_evolink.batch.ledger.ROWS_PER_CHUNK", 2)
    run(copying, batch(ROWS[:1], tmp_path))
    held = copying.store.held
    copying.store = DyingStore(1, after=False)
    copying.store.held = held
    with pytest.raises(WorkerDied):
        retry(copying, batch(ROWS[:2], tmp_path, max_in_flight=1))
    table = [ROWS[0], ROWS[2], ROWS[1]]
    assert retry(copying, batch(table, tmp_path))["landed"] == 3
    copying.store.held.clear()

    assert_all_landed(clear(copying, batch(table, tmp_path)), table, evolink)
