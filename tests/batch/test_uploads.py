# SPDX-License-Identifier: Apache-2.0
"""Rows with files: each content is uploaded once for a batch, and each row is paid for once, whatever fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.media import uploader
from airflow_provider_evolink.submission.record import LedgerRecord
from tests.batch.batches import TEXT, batch, manifest, retry, rows, run, stored_rows
from tests.batch.outcomes import assert_all_landed, charges, failure_of, lines_of, submissions
from tests.operators.submissions import DyingStore, WorkerDied
from tests.task_harness import TaskHarness
from tests.uploading import LINKS_ONLY, forget_links, write_picture

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_links(monkeypatch)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder for pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def videos(table: Any, tmp_path: Path, **kwargs: Any) -> Any:
    """Return a batch of videos made from pictures."""
    return batch(table, tmp_path / "out", model=LINKS_ONLY, **kwargs)


def upload_requests(emulator: EmulatorHandle) -> int:
    """Return how many uploads were attempted."""
    count: int = emulator.control.state()["requests"]["upload"]
    return count


def test_one_picture_in_many_rows_is_uploaded_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """A picture of 120 rows, over many waves, chunks and workers, each a process of its own, is one upload."""
    table = rows(120, image=write_picture(pictures / "a.png"))

    summary = run(harness, videos(table, tmp_path, max_in_flight=25))

    assert_all_landed(summary, table, evolink)
    assert len(harness.deferrals) > 3
    assert upload_requests(evolink) == 1


def test_each_picture_is_uploaded_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """Rows with pictures of their own, and one that they share, take one upload for each content."""
    shared = write_picture(pictures / "shared.png")
    table = [
        {**row, "image_urls": [write_picture(pictures / f"{number}.png", number + 1), shared]}
        for number, row in enumerate(rows(30))
    ]

    summary = run(harness, videos(table, tmp_path, max_in_flight=12))

    assert_all_landed(summary, table, evolink)
    assert upload_requests(evolink) == 31


def test_the_ledger_stays_small(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path) -> None:
    """A link that many rows share takes little space while they are waited for, and none once they have landed."""
    table = rows(100, image=write_picture(pictures / "a.png"))
    plain = TaskHarness()
    run(plain, batch(rows(100), tmp_path / "plain"))

    run(harness, videos(table, tmp_path))

    of_ids = [next(filter(_waits, each.store.writes)) for each in (plain, harness)]
    assert len(str(of_ids[1])) - len(str(of_ids[0])) < 100 * 20
    assert all("media_links" in row["record"] for row in stored_rows(of_ids[1]))
    landed = stored_rows(json.loads(harness.store.held["evolink-batch-0"]))
    assert len(landed) == 100
    assert "media" not in json.dumps(landed)


def _waits(write: dict[str, Any]) -> bool:
    """Return whether a write holds the ids of all rows."""
    found = stored_rows(write)
    return bool(found) and all(row["record"]["phase"] == "submitted" for row in found)


def test_a_budget_is_kept(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path) -> None:
    """Rows whose pictures differ are of one price: only the first is sent alone, and the limit holds."""
    table = [{**row, "image": write_picture(pictures / f"{number}.png", number)} for number, row in enumerate(rows(20))]

    failure = failure_of(run, harness, videos(table, tmp_path, max_credits=200))

    lines = lines_of(failure)
    landed = [line for line in lines.values() if line["status"] == "landed"]
    assert 3 <= len(landed) < 20
    assert sum(line["credits"] for line in landed) <= 200


def test_a_rejected_picture_takes_nothing_from_the_budget(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """The first row, which is sent alone to learn the price, fails before it is sent: the others are made."""
    table = [{**row, "image": write_picture(pictures / f"{number}.png", number)} for number, row in enumerate(rows(4))]
    evolink.control.inject("http_error", on="upload", status=413)

    lines = lines_of(failure_of(run, harness, videos(table, tmp_path, max_credits=500)))

    assert [line["status"] for line in lines.values()] == ["failed", "landed", "landed", "landed"]


def test_a_rejected_picture_concerns_its_rows_only(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """A row whose file EvoLink rejects has failed, with EvoLink's code; the others land, and it was not charged."""
    table = [*rows(5, model=TEXT), {"sku": "B", "prompt": "B", "duration": 3, "image": write_picture(pictures / "b")}]
    body = {"success": False, "code": 40003, "msg": "File quota exhausted"}
    evolink.control.inject("unexpected_json", on="upload", times=1, body=body)

    failure = failure_of(run, harness, videos(table, tmp_path))

    lines = lines_of(failure)
    assert {lines[f"A{number}"]["status"] for number in range(5)} == {"landed"}
    line = lines["B"]
    assert (line["status"], line["credits"], line["tries"], line["error"]["code"]) == ("failed", None, 0, "40003")
    for part in ("`image_urls[0]`", "nothing was charged", "delete"):
        assert part in line["error"]["text"]
    assert charges(evolink)["B"] == 0
    assert failure.permanent


def test_a_missing_picture_concerns_its_row_only(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that disappears between check and upload fails its row, which a later try finds invalid."""
    table = [*rows(3, model=TEXT), {"sku": "B", "prompt": "B", "duration": 3, "image": write_picture(pictures / "b")}]
    spool = uploader.spool

    def remove_and_spool(*args: Any) -> Any:
        (pictures / "b").unlink()
        return spool(*args)

    monkeypatch.setattr(uploader, "spool", remove_and_spool)

    line = lines_of(failure_of(run, harness, videos(table, tmp_path)))["B"]

    assert (line["status"], line["error"]["code"]) == ("failed", "UnreadableInput")
    assert submissions(evolink) == 3


def test_a_transient_failure_leaves_its_row_to_the_retry(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """A row whose upload fails for a passing reason is unfinished; the retry uploads, and each row is charged once."""
    table = [*rows(5, model=TEXT), {"sku": "B", "prompt": "B", "duration": 3, "image": write_picture(pictures / "b")}]
    evolink.control.inject("server_error", on="upload", times=4, status=503)
    operator = videos(table, tmp_path)

    failure = failure_of(run, harness, operator)

    line = lines_of(failure)["B"]
    assert (line["status"], line["tries"]) == ("unfinished", 0)
    assert "nothing was charged" in line["error"]["text"]
    assert not failure.permanent
    assert_all_landed(retry(harness, operator), table, evolink)


def test_some_transient_failures_stop_nothing(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that change while they are read, however many, keep no other row from being made; a retry makes theirs."""
    table = [{**row, "image": write_picture(pictures / f"{number}.png", number)} for number, row in enumerate(rows(12))]
    spool = uploader.spool

    def change_and_spool(open_content: Any, parameter: str, source: Any) -> Any:
        if int(Path(source).stem) < 5:
            write_picture(Path(source), version=99)
        return spool(open_content, parameter, source)

    operator = videos(table, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(uploader, "spool", change_and_spool)
        lines = lines_of(failure_of(run, harness, operator))

    assert [line["status"] for line in lines.values()] == ["unfinished"] * 5 + ["landed"] * 7
    assert "has changed" in lines["A0"]["error"]["text"]
    assert_all_landed(retry(harness, operator), table, evolink)
    assert upload_requests(evolink) == 8


def test_an_outage_of_the_files_api_stops_the_try(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """While no upload succeeds nothing is paid for, and not every file is tried; the retry makes all rows."""
    table = [{**row, "image": write_picture(pictures / f"{number}.png", number)} for number, row in enumerate(rows(30))]
    evolink.control.inject("server_error", on="upload", times=None, status=503)
    operator = videos(table, tmp_path, max_in_flight=5)

    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    assert (submissions(evolink), upload_requests(evolink)) == (0, 5 * 4)
    evolink.control.reset()
    evolink.control.set_speed(2000)
    evolink.control.add_credits(100_000)
    assert_all_landed(retry(harness, operator), table, evolink)


def test_a_rejected_api_key_is_no_rows_problem(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """If an upload finds that the API key is invalid, nothing is sent, and no row is blamed."""
    table = rows(5, image=write_picture(pictures / "a.png"))
    evolink.control.inject("http_error", on="upload", times=None, status=401)

    lines = lines_of(failure_of(run, harness, videos(table, tmp_path)))

    assert {line["status"] for line in lines.values()} == {"unfinished"}
    assert submissions(evolink) == 0


def test_lost_responses_are_replayed_with_the_same_links(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """What is in doubt is sent again with its own links by another worker, even if they have died meanwhile."""
    table = rows(6, image=write_picture(pictures / "a.png"))
    evolink.control.set_upload_ttl(1800)  # too short for another submission
    evolink.control.inject("lost_response", on="submit", times=12)
    operator = videos(table, tmp_path)
    failure_of(run, harness, operator)
    assert submissions(evolink) == 12
    evolink.control.set_upload_ttl(0)

    assert_all_landed(retry(harness, operator), table, evolink)

    assert upload_requests(evolink) == 1


def test_rows_of_a_retry_get_new_links(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path
) -> None:
    """Rows whose generation failed are submitted again with a new link, since the old one may be the reason."""
    table = rows(4, image=write_picture(pictures / "a.png"))
    evolink.control.inject("generation_failed", on="submit", times=4, code="service_error")
    operator = videos(table, tmp_path)
    failure_of(run, harness, operator)

    assert_all_landed(retry(harness, operator), table, evolink)

    assert upload_requests(evolink) == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 6))
def test_a_worker_that_dies_around_any_write_pays_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path, write: int, after: bool
) -> None:
    """Whichever write it dies before or after, the next try lands all rows, and each was charged once."""
    table = rows(5, image=write_picture(pictures / "a.png"))
    harness.store = DyingStore(write, after=after)
    operator = videos(table, tmp_path, max_in_flight=3)
    with pytest.raises(WorkerDied):
        run(harness, operator)

    assert_all_landed(retry(harness, operator), table, evolink)

    assert upload_requests(evolink) <= 2


def test_a_ledger_without_links_is_read(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that an earlier version has submitted, without a word about links, are resumed."""
    table = rows(4, image=write_picture(pictures / "a.png"))
    operator = videos(table, tmp_path)
    to_json = LedgerRecord.to_json

    def as_before(record: LedgerRecord) -> dict[str, Any]:
        return {name: value for name, value in to_json(record).items() if not name.startswith("media_")}

    with monkeypatch.context() as patch:
        patch.setattr(LedgerRecord, "to_json", as_before)
        harness.store = DyingStore(2, after=True)
        with pytest.raises(WorkerDied):
            run(harness, operator)

    summary = retry(harness, operator)

    assert_all_landed(summary, table, evolink)
    assert {line["tries"] for line in manifest(summary)} == {1}
