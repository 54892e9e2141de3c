# SPDX-License-Identifier: Apache-2.0
"""A landing that failed, or whose files are gone, is done again by a retry or a clear, and never generates again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import FileConflictError, LandingError, ResultExpiredError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.operators.landings import LandingHarness, check_landed, files, landing, sent
from tests.operators.submissions import DyingStore, WorkerDied, accepted, operator
from tests.task_harness import Store


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A destination."""
    return tmp_path / "videos"


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_landing_that_failed_is_done_again_by_a_retry(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, deferrable: bool
) -> None:
    """The error says that the generation is paid for; the retry lands it, without a submission and without a wait."""
    emulator.control.inject("expired_link", on="media", times=2)
    with pytest.raises(LandingError, match="paid for") as caught:
        harness.run(landing(folder, deferrable=deferrable))
    [generation] = accepted(emulator)
    assert generation["id"] in str(caught.value)
    assert harness.record["phase"] == "finished"
    assert files(folder) == []

    record = harness.retry(landing(folder, deferrable=deferrable))

    check_landed(record, folder)
    assert (record["reattached"], record["try_number"]) == (True, 2)
    assert len(harness.deferrals) == deferrable
    assert sent(emulator, "submit") == (1,)


@pytest.mark.parametrize("write", ["before the landing", "in the middle of the landing"])
def test_a_worker_that_dies_around_the_landing_pays_once(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, write: str
) -> None:
    """A worker that dies after the end is recorded, or while it lands, leaves the landing to the retry."""
    harness.store = DyingStore({"before the landing": 3, "in the middle of the landing": 4}[write], after=True)
    with pytest.raises(WorkerDied):
        harness.run(landing(folder))
    assert harness.record["phase"] == "finished"
    assert ("evolink_landing" in harness.store.held) == (write == "in the middle of the landing")

    record = harness.retry(landing(folder))

    check_landed(record, folder)
    assert sent(emulator, "submit") == (1,)


def test_a_worker_that_dies_before_the_end_is_recorded_lands_nothing(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path
) -> None:
    """Nothing lands before the ledger holds the end: a try that has been superseded can't record it, nor land."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        harness.run(landing(folder))
    assert files(folder) == []

    check_landed(harness.retry(landing(folder)), folder)

    assert sent(emulator, "submit", "media") == (1, 1)


@pytest.mark.parametrize("empties", [False, True])
def test_a_clear_lands_nothing_anew(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, empties: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cleared task finds its files, also with expired links and an emptied store, and downloads nothing."""
    first = harness.run(landing(folder))
    written = files(folder)[0].stat().st_mtime_ns
    expire(emulator, harness)
    if empties:
        harness.store.held.clear()

    again = harness.clear(landing(folder))

    assert again["landed"] == first["landed"]
    assert (again["generation_id"], again["reattached"]) == (first["generation_id"], True)
    assert files(folder)[0].stat().st_mtime_ns == written
    assert sent(emulator, "submit", "media") == (1, 1)
    assert "Files that have landed are kept" in capsys.readouterr().out


def expire(emulator: EmulatorHandle, harness: LandingHarness) -> None:
    """Expire the links, at EvoLink and in what is recorded about them."""
    emulator.control.set_link_ttl(0)
    for store in (harness.store, harness.copies):
        for key, value in [(key, store.get(key)) for key in store.held]:
            if isinstance(value, dict) and "result" in value:
                expired = {**value["result"], "expires_at": "2026-01-01T00:00:00+00:00"}
                store.set(key, {**value, "result": expired})


def test_a_file_that_was_deleted_lands_again(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """A clear brings a deleted file back without paying, while its link lives; after that the error says so."""
    first = harness.run(landing(folder))
    files(folder)[0].unlink()

    again = harness.clear(landing(folder))

    check_landed(again, folder)
    assert again["landed"] == first["landed"]
    files(folder)[0].unlink()
    expire(emulator, harness)
    with pytest.raises(EvoLinkFailException, match=first["generation_id"]) as caught:
        harness.clear(landing(folder))
    assert isinstance(caught.value.error, ResultExpiredError)
    assert sent(emulator, "submit") == (1,)


def test_another_destination_is_no_other_request(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path
) -> None:
    """A clear with another destination, or with a first one, lands the same generation there."""
    first = harness.run(operator())

    for name in ("a", "b"):
        record = harness.clear(landing(tmp_path / name))
        check_landed(record, tmp_path / name)
        assert record["generation_id"] == first["generation_id"]
    assert sent(emulator, "submit") == (1,)


def test_a_file_of_someone_else(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """A file that the task did not write is left alone, replaced or skipped, and nothing is paid for again."""
    folder.mkdir()
    (folder / "video.mp4").write_bytes(b"by hand")
    pattern = "video.{ext}"
    with pytest.raises(EvoLinkFailException, match="on_existing") as caught:
        harness.run(landing(folder, filename_pattern=pattern))
    assert isinstance(caught.value.error, FileConflictError)
    assert accepted(emulator)[0]["id"] in str(caught.value)

    assert harness.clear(landing(folder, filename_pattern=pattern, on_existing="skip"))["landed"] == []
    assert (folder / "video.mp4").read_bytes() == b"by hand"
    check_landed(harness.clear(landing(folder, filename_pattern=pattern, on_existing="replace")), folder)
    assert sent(emulator, "submit") == (1,)


def test_a_clear_with_resubmit_pays_again_only_after_the_landing(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path
) -> None:
    """While a result waits to be landed, a clear lands it; once it has landed, a clear with ``resubmit`` pays again."""
    emulator.control.inject("expired_link", on="media", times=2)
    with pytest.raises(LandingError):
        harness.run(landing(folder, on_clear="resubmit"))

    first = harness.clear(landing(folder, on_clear="resubmit"))
    check_landed(first, folder)
    assert harness.retry(landing(folder, on_clear="resubmit"))["generation_id"] == first["generation_id"]
    assert sent(emulator, "submit") == (1,)

    second = harness.clear(landing(folder, on_clear="resubmit"))
    assert second["generation_id"] != first["generation_id"]
    assert {path.parent.name for path in files(folder)} == {first["generation_id"], second["generation_id"]}


def test_a_clear_with_resubmit_replaces_what_can_not_land_any_more(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path
) -> None:
    """If the links have expired before the landing, a clear with ``resubmit`` pays for a new generation."""
    emulator.control.inject("expired_link", on="media", times=2)
    with pytest.raises(LandingError):
        harness.run(landing(folder, on_clear="resubmit"))
    expire(emulator, harness)
    emulator.control.set_link_ttl(None)

    check_landed(harness.clear(landing(folder, on_clear="resubmit")), folder)

    assert len(accepted(emulator)) == 2


def test_a_changed_prompt_is_no_landing(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """A result that waits to be landed is not taken for that of another prompt; a clear with ``resubmit`` pays."""
    emulator.control.inject("expired_link", on="media", times=2)
    with pytest.raises(LandingError):
        harness.run(landing(folder, on_clear="resubmit"))

    record = harness.clear(operator("A harbor", destination=str(folder), on_clear="resubmit"))

    check_landed(record, folder)
    assert record["generation_id"] == accepted(emulator)[1]["id"]


class KillingStore(Store):
    """A store that kills its task as soon as something is about to land."""

    task: EvoLinkGenerateOperator

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write, and kill the task if this is the landing's checkpoint."""
        super().set(key, value, retention=retention)
        if key == "evolink_landing":
            self.task.on_kill()
            raise WorkerDied


def test_a_kill_during_the_landing(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log of a task that is killed while it lands says that the generation is complete, and what a retry does."""
    harness.store = KillingStore()
    harness.store.task = landing(folder)
    with pytest.raises(WorkerDied):
        harness.run(harness.store.task)

    log = capsys.readouterr().out
    assert f"Killed. Generation {accepted(emulator)[0]['id']} is completed and paid for" in log
    assert "keeps running" not in log


def test_a_file_that_was_changed_since(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """A file that was changed since is not the task's own: it is left alone, and the error says what to do."""
    harness.run(landing(folder))
    [file] = files(folder)
    file.write_bytes(b"edited by hand")

    with pytest.raises(EvoLinkFailException, match="changed since"):
        harness.clear(landing(folder))
    assert file.read_bytes() == b"edited by hand"
