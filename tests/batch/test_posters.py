# SPDX-License-Identifier: Apache-2.0
"""A batch's posters come after everything that is paid for: its files, its ledger, and the next submissions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.landing import poster_queue
from airflow_provider_evolink.posters.painter import Painter
from airflow_provider_evolink.posters.stamp import shown_file
from testkit.s3 import BUCKET, S3
from tests.batch.batches import batch, manifest, retry, rows, run, stored_rows
from tests.batch.outcomes import submissions
from tests.task_harness import TaskHarness

Wait = Callable[[Callable[[], bool]], list[bool]]


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__EVOLINK__POSTERS", "True")


@pytest.fixture
def draw_after(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let no poster be drawn before something holds; return whether it did for each, or ten seconds went by."""
    draw = Painter.draw
    held: list[bool] = []

    def patch(holds: Callable[[], bool]) -> list[bool]:
        def wait_and_draw(self: Painter, file: BinaryIO, *, is_video: bool) -> bytes:
            deadline = time.monotonic() + 10
            while not holds() and all(held) and time.monotonic() < deadline:
                time.sleep(0.02)
            held.append(holds())
            return draw(self, file, is_video=is_video)

        monkeypatch.setattr(Painter, "draw", wait_and_draw)
        return held

    return patch


def check_posters(lines: list[dict[str, Any]]) -> None:
    """Check that each row has landed with its poster."""
    assert [line["status"] for line in lines] == ["landed"] * len(lines)
    assert [line["posters"] for line in lines] == [[f"{line['uris'][0]}.poster.jpg"] for line in lines]
    assert all(Path(poster.removeprefix("file://")).is_file() for line in lines for poster in line["posters"])


def test_all_files_of_a_worker_land_first(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, draw_after: Wait
) -> None:
    """No file waits for the poster of another: all of them are there, and recorded, before the first is drawn."""

    def have_landed() -> bool:
        ledger = [row for value in harness.store.held.values() for row in stored_rows(json.loads(value))]
        phases = [row["record"]["phase"] for row in ledger]
        return len(list(tmp_path.glob("*/*.mp4"))) == phases.count("finished") == 20

    held = draw_after(have_landed)

    lines = manifest(run(harness, batch(rows(20), tmp_path, deferrable=False)))

    assert held == [True] * 20
    check_posters(lines)


def test_a_retry_submits_before_it_draws(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, draw_after: Wait
) -> None:
    """What earlier tries have paid for lands first; its posters don't hold up the next submissions."""
    operator = batch(rows(4), tmp_path, max_in_flight=2)
    with pytest.raises(AssertionError, match="deferred"):
        run(harness, operator, max_deferrals=0)
    assert submissions(evolink) == 2
    time.sleep(0.5)
    held = draw_after(lambda: submissions(evolink) == 4)

    lines = manifest(retry(harness, operator))

    assert held == [True] * 4
    check_posters(lines)


def test_files_in_a_bucket_are_read_again_if_many_wait(
    evolink: EmulatorHandle, harness: TaskHarness, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file is kept for its poster, it is drawn from the object, and what it shows is that object."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    monkeypatch.setattr(poster_queue, "_KEPT", 1)

    run(harness, batch(rows(6), f"s3://store@{BUCKET}/many", deferrable=False))

    bucket = s3.file_system()
    videos = [path for path in bucket.find(f"{BUCKET}/many") if path.endswith(".mp4")]
    assert len(videos) == 6
    for video in videos:
        assert shown_file(bucket.cat_file(f"{video}.poster.jpg")) == sha256(bucket.cat_file(video)).hexdigest()


def test_a_ledger_that_can_not_note_posters(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posters never decide over a batch: if they can't be recorded, its rows have landed all the same."""
    write = BatchLedger.write

    def refuse_posters(self: BatchLedger, chunk: Chunk, **options: Any) -> None:
        if any(file.has_poster for entry in chunk.rows.values() for file in entry.landed):
            raise LedgerError("The store is away.")
        write(self, chunk, **options)

    monkeypatch.setattr(BatchLedger, "write", refuse_posters)

    lines = manifest(run(harness, batch(rows(2), tmp_path)))

    assert [line["status"] for line in lines] == ["landed"] * 2
    assert [line["posters"] for line in lines] == [[None]] * 2
    assert len(list(tmp_path.glob("*/*.poster.jpg"))) == 2
