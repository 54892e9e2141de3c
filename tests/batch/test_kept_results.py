# SPDX-License-Identifier: Apache-2.0
"""What is paid for is kept, whatever goes wrong around it, and the errors say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.batch.existing_files import ExistingFile, ExistingFiles
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.lander import Lander
from tests.batch.batches import batch, clear, retry, rows, run
from tests.batch.outcomes import assert_all_landed, failure_of, lines_of, submissions
from tests.task_harness import TaskHarness

ROWS = rows(4)


def test_a_surprise_in_one_landing_leaves_the_others_alone(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody has thought of concerns the row it happens to; the others land, and a retry lands it."""
    land = Lander.land

    def surprise(self: Lander, result: Any) -> Any:
        if "A2" in self.pattern:
            raise ZeroDivisionError("nobody has thought of this")
        return land(self, result)

    monkeypatch.setattr(Lander, "land", surprise)
    operator = batch(ROWS, tmp_path)
    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    lines = lines_of(failure)
    assert [line["status"] for line in lines.values()] == ["landed", "landed", "unfinished", "landed"]
    assert "nobody has thought of this" in lines["A2"]["error"]["text"]
    monkeypatch.setattr(Lander, "land", land)
    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert submissions(evolink) == len(ROWS)


def test_a_manifest_that_can_t_be_written_is_written_by_a_retry(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how many rows have landed, and a retry writes the manifest and nothing else."""
    publish = storage.publish

    def fail(file: Any, target: Any, **kwargs: Any) -> None:
        if target.path.endswith(".jsonl"):
            raise LandingError("The storage is down.")
        publish(file, target, **kwargs)

    monkeypatch.setattr(storage, "publish", fail)
    operator = batch(ROWS, tmp_path)
    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    assert "manifest" in str(failure)
    assert "4 of 4 rows have landed" in str(failure)
    assert "retry" in str(failure)
    media = evolink.control.state()["requests"]["media"]
    monkeypatch.setattr(storage, "publish", publish)
    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert evolink.control.state()["requests"]["media"] == media
    assert submissions(evolink) == len(ROWS)


@pytest.mark.parametrize("name", ["../manifest.jsonl", "/manifest.jsonl", "folder/", "a\0b", 5, "x" * 300])
def test_an_invalid_name_of_the_manifest_costs_nothing(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, name: Any
) -> None:
    """A manifest that could not be written in the end is refused before anything is sent."""
    failure = failure_of(lambda: run(harness, batch(ROWS, tmp_path, manifest=name)))

    assert str(failure).startswith("`manifest`=")
    assert submissions(evolink) == 0


def test_a_clear_with_resubmit_generates_removed_files_anew(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """Whoever deletes a file and clears the task with ``on_clear="resubmit"`` gets a new generation, not the old."""
    operator = batch(ROWS[:2], tmp_path, on_clear="resubmit")
    run(harness, operator)
    (tmp_path / "A0" / "0.mp4").unlink()

    summary = clear(harness, operator)

    assert summary["landed"] == 2
    assert submissions(evolink) == 4


@pytest.mark.parametrize("change", ["invalid", "gone", "not a file of rows"])
def test_a_table_that_can_t_be_used_any_more(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, change: str
) -> None:
    """If the table is broken once rows are paid for, the error says that they are, and how to get them."""
    table = tmp_path / "rows.csv"
    good = "sku,prompt,duration\nA0,Product 0,3\nA1,Product 1,3\n"
    table.write_text(good, encoding="utf-8")
    (tmp_path / "out" / "A1").mkdir(parents=True)
    (tmp_path / "out" / "A1" / "0.mp4").mkdir()
    operator = batch(str(table), tmp_path / "out")
    failure_of(run, harness, operator)
    if change == "gone":
        table.unlink()
    else:
        text = {"invalid": f"{good}A2,Product 2,999\n", "not a file of rows": "nothing\n"}[change]
        table.write_text(text, encoding="utf-8")

    failure = failure_of(retry, harness, operator)

    assert failure.permanent
    assert "nothing was charged" not in str(failure).lower()
    assert "2 rows were submitted before, and what was paid for them stays paid for" in str(failure)
    table.write_text(good, encoding="utf-8")
    (tmp_path / "out" / "A1" / "0.mp4").rmdir()
    assert_all_landed(clear(harness, operator), rows(2), evolink)


def test_the_summary_counts_what_the_task_has_spent(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Credits of rows that are no longer in the table were spent by this task as well: summary and log agree."""
    run(harness, batch(ROWS, tmp_path))
    charged = evolink.control.state()["credits"]["charged"]

    capsys.readouterr()
    summary = clear(harness, batch(ROWS[:1], tmp_path))

    assert summary["total"] == 1
    assert summary["credits_used"] == pytest.approx(charged, abs=0.01)
    [where, cost] = [text for text in capsys.readouterr().out.splitlines() if "landed" in text or "Cost" in text]
    assert f"1 of 1 row has landed: {summary['manifest']}" in where
    assert f"Cost: {summary['credits_used']:,.10g} credits" in cost


def test_a_storage_that_can_t_be_listed_stops_submitting(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the destination can't be looked at any more, nothing more is paid for, and what was paid for lands."""
    of = ExistingFiles.of

    def fail(self: ExistingFiles, pattern: str) -> list[ExistingFile]:
        if pattern.startswith("A3"):
            raise LandingError("The files can't be listed.", advice="A retry lists them again.")
        return of(self, pattern)

    monkeypatch.setattr(ExistingFiles, "of", fail)
    failure = failure_of(run, harness, batch(ROWS, tmp_path, max_in_flight=2))

    assert not failure.permanent
    assert "The files can't be listed." in str(failure)
    lines = lines_of(failure)
    assert [line["status"] for line in lines.values()][:2] == ["landed", "landed"]
    assert lines["A3"]["status"] == "unfinished"
    assert submissions(evolink) == [line["status"] for line in lines.values()].count("landed")
    monkeypatch.setattr(ExistingFiles, "of", of)
    assert_all_landed(retry(harness, batch(ROWS, tmp_path)), ROWS, evolink)


def test_rows_whose_keys_have_all_changed_are_not_paid_for_again(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """If another field names the rows, none of them is known: that would pay for all of them again."""
    table = [{**row, "id": f"other-{row['sku']}"} for row in ROWS]
    run(harness, batch(table, tmp_path))

    failure = failure_of(clear, harness, batch(table, tmp_path, key="id"))

    assert failure.permanent
    assert "4 rows would be paid again" in str(failure)
    assert submissions(evolink) == len(ROWS)
    summary = clear(harness, batch(table, tmp_path, key="id", on_changed_input="resubmit"))
    assert summary["landed"] == len(ROWS)
    assert submissions(evolink) == 2 * len(ROWS)
