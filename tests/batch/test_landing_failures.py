# SPDX-License-Identifier: Apache-2.0
"""Rows whose results can't be landed: what is paid for is landed later, and nothing is generated again."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from airflow.sdk.io import store

from airflow_provider_evolink.api.errors import LandingError, StorageRefusedError
from airflow_provider_evolink.batch import landing
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from testkit.s3 import BUCKET, S3
from tests.batch.batches import batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, assert_true, failure_of, lines_of, submissions
from tests.task_harness import TaskHarness, first_event

ROWS = rows(6)


def test_a_retry_lands_only_what_is_missing(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A row that could not be landed for a passing reason keeps the task from succeeding, whatever may fail."""
    blocked = tmp_path / "A2"
    blocked.write_text("a file where a folder has to be")
    operator = batch(ROWS, tmp_path, max_in_flight=3, max_failed=0.5)

    failure = failure_of(run, harness, operator)

    lines = lines_of(failure)
    assert not failure.permanent
    assert {key for key, line in lines.items() if line["status"] != "landed"} == {"A2"}
    assert_true(list(lines.values()), evolink)
    media = evolink.control.state()["requests"]["media"]
    blocked.unlink()
    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert evolink.control.state()["requests"]["media"] == media + 1
    assert submissions(evolink) == len(ROWS)


def test_a_full_disk_loses_nothing(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever could not be written is landed by the next try."""
    publish, count = storage.publish, iter(range(100))

    def full(file: Any, target: Any, **kwargs: Any) -> None:
        if target.path.endswith(".mp4") and next(count) % 3:
            raise storage.write_error(target, OSError(errno.ENOSPC, "No space left on device"))
        publish(file, target, **kwargs)

    monkeypatch.setattr(storage, "publish", full)
    operator = batch(ROWS, tmp_path)
    failure = failure_of(run, harness, operator)
    assert not failure.permanent
    monkeypatch.setattr(storage, "publish", publish)

    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert submissions(evolink) == len(ROWS)


def test_a_timeout_while_rows_are_handed_to_threads(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads end with the try, and a retry lands all rows."""
    pools = list[ThreadPoolExecutor]()

    class Interrupted(ThreadPoolExecutor):
        def __init__(self) -> None:
            super().__init__(2)
            pools.append(self)

        def submit(self, *_: Any, **__: Any) -> Any:
            super().submit(int)
            raise AirflowTaskTimeout

    operator = batch(ROWS, tmp_path)
    with monkeypatch.context() as patches:
        patches.setattr(landing, "_pool", Interrupted)
        with pytest.raises(AirflowTaskTimeout):
            run(harness, operator)

    with pytest.raises(RuntimeError, match="after shutdown"):
        pools[-1].submit(str)
    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert submissions(evolink) == len(ROWS)


@pytest.mark.parametrize("fault", ["expired_link", "truncated_media", "corrupt_media"])
def test_a_bad_response_is_not_the_result(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, fault: str
) -> None:
    """A link that died is asked for again, and a truncated or corrupt file is not taken for the result."""
    # Rows land side by side: a second fault could meet the new link of the same row, which ends its try.
    evolink.control.inject(fault, on="media", times=1)

    assert_all_landed(run(harness, batch(ROWS, tmp_path)), ROWS, evolink)
    assert submissions(evolink) == len(ROWS)


def test_a_result_that_is_gone_fails_its_row(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """If a link stays dead its row is not landed; the others are, and nothing is generated again."""
    evolink.control.set_link_ttl(0)
    operator = batch(ROWS[:2], tmp_path)

    failure = failure_of(run, harness, operator)

    assert {line["status"] for line in lines_of(failure).values()} <= {"failed", "unfinished"}
    evolink.control.set_link_ttl(None)
    assert_all_landed(clear(harness, operator), ROWS[:2], evolink)
    assert submissions(evolink) == 2


def test_a_storage_that_refuses_stops_submitting(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the storage refuses a file it refuses all: no further row is paid for, and a clear lands what was made."""
    publish = storage.publish

    def refuse(file: Any, target: Any, **kwargs: Any) -> None:
        if target.path.endswith(".mp4"):
            raise StorageRefusedError("The bucket denies access. A retry is refused again.")
        publish(file, target, **kwargs)

    monkeypatch.setattr(storage, "publish", refuse)
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    failure = failure_of(run, harness, operator)

    # The window is filled up before what has ended is landed.
    assert submissions(evolink) <= 4
    assert "denies access" in str(failure)
    monkeypatch.setattr(storage, "publish", publish)
    assert_all_landed(clear(harness, operator), ROWS, evolink)


def test_existing_files_are_not_generated(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """With ``skip_existing`` a row whose file is there is skipped, names its file, and costs nothing."""
    (tmp_path / "A1").mkdir()
    (tmp_path / "A1" / "0.mp4").write_bytes(b"not ours")

    summary = run(harness, batch(ROWS[:3], tmp_path))

    lines = manifest(summary)
    assert [line["status"] for line in lines] == ["landed", "skipped", "landed"]
    assert lines[1]["uris"] == [f"file://{tmp_path}/A1/0.mp4"]
    assert (summary["skipped"], submissions(evolink)) == (1, 2)
    assert (tmp_path / "A1" / "0.mp4").read_bytes() == b"not ours"
    assert clear(harness, batch(ROWS[:3], tmp_path)) == summary


def test_existing_files_can_fail_before_anything_is_paid(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """With ``skip_existing=False`` a row whose file is there fails before it is paid for."""
    (tmp_path / "A1").mkdir()
    (tmp_path / "A1" / "0.mp4").write_bytes(b"not ours")

    failure = failure_of(run, harness, batch(ROWS[:3], tmp_path, skip_existing=False))

    lines = lines_of(failure)
    assert failure.permanent
    assert [line["status"] for line in lines.values()] == ["landed", "failed", "landed"]
    assert lines["A1"]["credits"] is None
    assert submissions(evolink) == 2
    assert (tmp_path / "A1" / "0.mp4").read_bytes() == b"not ours"
    summary = clear(harness, batch(ROWS[:3], tmp_path, skip_existing=False, on_existing="replace"))

    assert_all_landed(summary, ROWS[:3], evolink)


def test_a_file_that_appears_before_a_row_is_accepted(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A retry looks at the destination before it pays for a row that an earlier try could not submit."""
    evolink.control.inject("http_error", on="submit", times=None, status=402)
    failure_of(run, harness, batch(ROWS[:1], tmp_path))
    evolink.control.reset()
    (tmp_path / "A0").mkdir()
    (tmp_path / "A0" / "0.mp4").write_bytes(b"not ours")

    summary = retry(harness, batch(ROWS[:1], tmp_path))

    assert summary["skipped"] == 1
    assert submissions(evolink) == 0


@pytest.mark.parametrize(("max_failed", "succeeds"), [(0, False), (1, False), (2, True), (0.3, False), (0.34, True)])
def test_some_rows_may_fail(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, max_failed: float, succeeds: bool
) -> None:
    """The task succeeds as long as no more rows fail than may, as a number or as a share."""
    evolink.control.inject("http_error", on="submit", times=2, status=400)
    operator = batch(ROWS, tmp_path, max_failed=max_failed)

    if succeeds:
        assert run(harness, operator)["failed"] == 2
    else:
        lines = lines_of(failure_of(run, harness, operator)).values()
        assert [line["status"] for line in lines].count("failed") == 2
    assert submissions(evolink) == len(ROWS)


def test_stop_submits_no_more_after_a_failure(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """With ``on_row_failure="stop"`` what is paid for lands, and the rest is not submitted."""
    evolink.control.inject("generation_failed", on="submit", code="service_error")
    operator = batch(ROWS, tmp_path, max_in_flight=2, on_row_failure="stop")

    failure = failure_of(run, harness, operator)

    lines = lines_of(failure)
    assert "on_row_failure" in str(failure)
    assert [line["status"] for line in lines.values()] == ["failed", "landed"] + ["unfinished"] * 4
    assert submissions(evolink) == 2
    assert_all_landed(retry(harness, operator), ROWS, evolink)


def test_a_manifest_that_can_t_be_written(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """All rows have landed by then; a retry writes the manifest, and neither pays nor downloads anything again."""
    blocked = tmp_path / "manifest-task.jsonl"
    blocked.mkdir()
    operator = batch(ROWS[:3], tmp_path)

    failure = failure_of(run, harness, operator)

    assert isinstance(failure, LandingError)
    assert not failure.permanent
    media = evolink.control.state()["requests"]["media"]
    blocked.rmdir()
    assert_all_landed(retry(harness, operator), ROWS[:3], evolink)
    assert evolink.control.state()["requests"]["media"] == media


def test_a_file_that_appears_before_a_row_lands(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's file is left alone and fails its row, which a clear lands without paying if it may replace it."""
    operator = batch(ROWS[:2], tmp_path)

    async def put_file_and_wait(trigger: Any) -> Any:
        (tmp_path / "A1").mkdir()
        (tmp_path / "A1" / "0.mp4").write_bytes(b"not ours")
        return await first_event(trigger)

    monkeypatch.setattr("tests.batch.batches.first_event", put_file_and_wait)
    failure = failure_of(run, harness, operator)

    assert failure.permanent
    assert lines_of(failure)["A1"]["error"]["code"] == "FileConflict"
    assert (tmp_path / "A1" / "0.mp4").read_bytes() == b"not ours"
    monkeypatch.setattr("tests.batch.batches.first_event", first_event)
    assert_all_landed(clear(harness, batch(ROWS[:2], tmp_path, on_existing="replace")), ROWS[:2], evolink)
    assert submissions(evolink) == 2


def test_nothing_more_is_paid_for_once_nothing_lands(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three landings in a row that fail for a passing reason, the rest of the table is left to a retry."""
    publish = storage.publish

    def full(file: Any, target: Any, **kwargs: Any) -> None:
        if target.path.endswith(".mp4"):
            raise storage.write_error(target, OSError(errno.ENOSPC, "No space left on device"))
        publish(file, target, **kwargs)

    monkeypatch.setattr(storage, "publish", full)
    operator, table = batch(rows(30), tmp_path, max_in_flight=4), rows(30)
    failure = failure_of(run, harness, operator)
    assert not failure.permanent
    assert "No space left" in str(failure)
    assert submissions(evolink) <= 12
    monkeypatch.setattr(storage, "publish", publish)

    assert_all_landed(retry(harness, operator), table, evolink)
    assert submissions(evolink) == len(table)


def test_a_folder_that_can_not_be_written_to_costs_nothing(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A destination below a file is refused before the first row is paid for."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LandingError, match="can't be written to: Not a directory"):
        run(harness, batch(ROWS, tmp_path / "file" / "videos"))

    assert submissions(evolink) == 0


def test_a_destination_in_s3_is_opened_before_or_within_the_event_loop(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow makes its S3 file system with an event loop of its own (amazon 9.39), which a running loop refuses."""
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_S3", s3.connection)
    picture = (Path(__file__).parent.parent / "data" / "frame.png").read_bytes()
    s3.file_system().pipe_file(f"{BUCKET}/pictures/frame.png", picture)
    table = [{"sku": f"A{n}", "prompt": "x", "image": f"s3://batch_s3@{BUCKET}/pictures/frame.png"} for n in range(3)]

    resume = EvoLinkBatchOperator.execute_complete

    def resume_in_a_new_process(*args: Any, **kwargs: Any) -> Any:
        store._STORE_CACHE.clear()
        return resume(*args, **kwargs)

    monkeypatch.setattr(EvoLinkBatchOperator, "execute_complete", resume_in_a_new_process)
    summary = run(
        harness,
        batch(table, f"s3://batch_s3@{BUCKET}/out", model="gemini-omni-flash-image-to-video", max_in_flight=1),
    )

    assert (summary["landed"], summary["manifest"]) == (3, f"s3://{BUCKET}/out/manifest-task.jsonl")


@pytest.mark.parametrize("pattern", ["{sku}/{index}.{ext}", "{generation_id}/{index}.{ext}"])
def test_a_missing_bucket_is_found_out_before_anything_is_paid(
    evolink: EmulatorHandle, harness: TaskHarness, s3: S3, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    """The error names the storage as the cause, whatever files are named after, and says that nothing was sent."""
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_S3", s3.connection)

    failure = failure_of(run, harness, batch(ROWS, "s3://batch_s3@not-there/out", filename_pattern=pattern))

    assert failure.permanent
    assert str(failure) == (
        "Nothing can land at s3://not-there/out: bucket 'not-there' not found with connection 'batch_s3' "
        "(FileNotFoundError: The specified bucket does not exist). Nothing was sent by this try. "
        "A retry is refused again: fix that, then clear this task."
    )
    assert evolink.control.state()["requests"]["total"] == 0


def test_a_bucket_that_is_gone_does_not_stop_what_is_paid_for(
    evolink: EmulatorHandle, harness: TaskHarness, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try goes on, sends nothing new, and names the storage as the cause of both."""
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_S3", s3.connection)
    run(harness, batch(ROWS[:2], f"s3://batch_s3@{BUCKET}/gone"))

    failure = failure_of(clear, harness, batch(ROWS[:3], "s3://batch_s3@not-there/gone"))

    text = str(failure)
    assert text.startswith("The storage can't be used. The result could not be written to s3://not-there/gone/manifest")
    assert "bucket 'not-there' not found" in text
    assert "1 row was not submitted, and cost nothing. 2 of 3 rows have landed" in text
    assert text.endswith(
        "A retry is refused again: fix that, then clear this task, which goes on with what is left and writes the "
        "manifest, and pays for nothing twice."
    )
    assert submissions(evolink) == 2
