# SPDX-License-Identifier: Apache-2.0
"""The posters of every way to land, and the last lines of its log."""

from __future__ import annotations

import importlib.machinery
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import AssetAlias

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution import posters
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.posters.stamp import shown_file
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from testkit.s3 import S3
from tests.batch.batches import batch, manifest, retry, rows, run
from tests.operators.landings import LandingHarness, files, landing, sent
from tests.operators.submissions import operator
from tests.recovery.generations import recovering, submit
from tests.task_harness import TaskHarness


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__EVOLINK__POSTERS", "True")


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


def check_posters(landed: Any, folder: Path) -> None:
    """Check that each landed file has its poster beside it, and that nothing else is there."""
    assert landed
    for file in landed:
        path = Path(file["poster"].removeprefix("file://"))
        assert file["poster"] == f"{file['uri']}.poster.jpg"
        assert shown_file(path.read_bytes()) == file["sha256"]
    assert len([file for file in files(folder) if file.suffix != ".jsonl"]) == 2 * len(landed)


def last_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the last two lines of the log."""
    return [line for line in capsys.readouterr().out.splitlines() if line.strip()][-2:]


def test_a_task_that_generates(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record and the asset event state the poster, a retry keeps it, and the log ends with place and price."""
    alias = AssetAlias("videos")
    first = harness.run(landing(tmp_path, outlets=[alias]))
    lines = last_lines(capsys)
    again = harness.retry(landing(tmp_path, outlets=[alias]))

    check_posters(first["landed"], tmp_path)
    assert again["landed"] == first["landed"]
    assert sent(emulator, "submit", "media") == (1, 1)
    assert harness.outlet_events[alias].asset_alias_events[0].extra["poster"] == first["landed"][0]["poster"]
    assert first["landed"][0]["uri"] in lines[0]
    assert f"Cost: {first['usage']['credits_used']:,.10g} credits." in lines[1]


def test_a_transfer(
    emulator: EmulatorHandle,
    harness: LandingHarness,
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The transfer's list states the posters, here in a bucket; the log ends with what its generations have cost."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    records = [harness.run(operator()), TaskHarness().run(operator())]
    task = EvoLinkToObjectStorageOperator(
        task_id="land",
        generation=[records[0], records[1]["generation_id"]],
        destination="s3://store@videos/transferred",
    )

    landed = task.execute(LandingHarness().context)

    stored = {f"s3://{path}" for path in s3.file_system().find("videos/transferred")}
    assert stored == {uri for file in landed for uri in (file["uri"], file["poster"])}
    where, cost = last_lines(capsys)
    assert landed[1]["uri"] in where
    assert f"Cost: {sum(record['usage']['credits_used'] for record in records):,.10g} credits." in cost


def test_a_hook(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """``EvoLinkHook.land`` returns posters, too."""
    record = TaskHarness().run(operator())

    check_posters(EvoLinkHook().land(record, tmp_path), tmp_path)


def test_a_batch(
    emulator: EmulatorHandle,
    harness: LandingHarness,
    tmp_path: Path,
    quick: None,
    no_pauses: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each row has its posters in the manifest, also in a later try, and the batch leaves no process behind."""
    summary = run(harness, batch(rows(5), tmp_path))
    where, cost = last_lines(capsys)
    lines = manifest(summary)
    landed = [
        {"uri": uri, "poster": poster, "sha256": sha256}
        for line in lines
        for uri, poster, sha256 in zip(line["uris"], line["posters"], line["sha256"], strict=True)
    ]

    check_posters(landed, tmp_path)
    assert manifest(retry(harness, batch(rows(5), tmp_path))) == lines
    assert summary["manifest"] in where
    assert f"Cost: {summary['credits_used']:,.10g} credits." in cost


def test_posters_are_no_files_of_a_row(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, quick: None, no_pauses: None
) -> None:
    """A batch that skips what is there already takes no poster for a file of a row, whatever the pattern."""
    pattern = "{sku}-{model}.{ext}"
    run(harness, batch(rows(2), tmp_path, filename_pattern=pattern))
    videos = [file for file in files(tmp_path) if file.suffix == ".mp4"]
    videos[0].unlink()

    summary = run(LandingHarness(), batch(rows(2), tmp_path, filename_pattern=pattern))

    assert (summary["landed"], summary["skipped"]) == (1, 1)
    assert [line["uris"] for line in manifest(summary) if line["status"] == "skipped"] == [[videos[1].as_uri()]]


def test_a_recovery(emulator: EmulatorHandle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recovery's summary states the posters, and its log ends with place and price."""
    submit(emulator, 3)
    summary = recovering(tmp_path, min_age=0).execute(LandingHarness().context)

    check_posters(summary["landed"], tmp_path)
    where, cost = last_lines(capsys)
    assert tmp_path.as_uri() in where
    assert f"{summary['credits_used']:.10g} credits" in cost


def test_without_a_destination_the_log_ends_with_the_price(
    emulator: EmulatorHandle, harness: LandingHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that only generates logs its links' expiry and what it has cost, once."""
    record = harness.run(operator())

    lines = last_lines(capsys)
    assert record["expires_at"] in lines[0]
    assert f"Cost: {record['usage']['credits_used']:,.10g} credits." in lines[1]


@pytest.mark.parametrize("value", ["false", "F", "0"])
def test_switched_off(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """``[evolink] posters`` switches them off."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__POSTERS", value)
    record = harness.run(landing(tmp_path))

    assert record["landed"][0]["poster"] is None
    assert len(files(tmp_path)) == 1


def test_an_invalid_option_costs_nothing(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option that is neither true nor false is refused before anything is paid for."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__POSTERS", "some")

    with pytest.raises(EvoLinkFailException, match=r"`\[evolink\] posters`='some' is invalid: must be true or false"):
        harness.run(landing(tmp_path))
    assert sent(emulator, "submit") == (0,)


def test_without_pyav_one_line_says_so(
    emulator: EmulatorHandle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where PyAV is not installed, all landings of a task log one line, which names the extra, and land."""
    record = TaskHarness().run(operator())
    posters._report_missing.cache_clear()
    find_spec = importlib.machinery.PathFinder.find_spec

    def find_all_but_av(name: str, *arguments: Any) -> Any:
        return None if name == "av" else find_spec(name, *arguments)

    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", find_all_but_av)
    for name in [name for name in sys.modules if name == "av" or name.startswith("av.")]:
        monkeypatch.delitem(sys.modules, name)

    with caplog.at_level(logging.INFO):
        for folder in ("one", "two"):
            assert EvoLinkHook().land(record, tmp_path / folder)[0]["poster"] is None

    posters._report_missing.cache_clear()
    assert len(files(tmp_path)) == 2
    assert len([text for text in caplog.messages if "airflow-provider-evolink[posters]" in text]) == 1
