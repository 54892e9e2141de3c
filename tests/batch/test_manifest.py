# SPDX-License-Identifier: Apache-2.0
"""What a manifest's lines state of the request, whatever became of the row and whichever worker writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.batch.entry import Status
from airflow_provider_evolink.batch.manifest import Requested, manifest_line
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import TEXT, batch, clear, manifest, retry, rows, run
from tests.batch.outcomes import failure_of, lines_of, submissions
from tests.task_harness import TaskHarness

OTHER = "veo3.1-fast"
pytestmark = pytest.mark.usefixtures("quick", "no_pauses")


def request_of(line: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a line states of the request."""
    return line["model"], line["prompt"]


def test_lines_state_model_prompt_and_time(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Each landed row has its own model, its shortened prompt, and how long its generation took."""
    long = "A lighthouse at https://u.example/a.png?token=planted in the fog. " * 9
    table = [*rows(2), {"sku": "B", "prompt": long, "duration": 4, "model": OTHER}]

    summary = run(harness, batch(table, tmp_path, max_in_flight=2))

    lines = manifest(summary)
    assert [request_of(line) for line in lines[:2]] == [(TEXT, "Product 0"), (TEXT, "Product 1")]
    assert lines[2]["model"] == OTHER
    assert lines[2]["prompt"].startswith("A lighthouse at https://u.example/a.png in the fog.")
    assert len(lines[2]["prompt"]) <= 200
    assert all(0 < line["seconds"] < 60 for line in lines)
    text = Path(summary["manifest"].removeprefix("file://")).read_text(encoding="utf-8")
    assert "planted" not in text
    assert list(json.loads(text.splitlines()[0])) == list(manifest_line("A0", None, None, Status.LANDED, Requested()))


def test_a_prompt_of_all_rows(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """The prompt is the one that is sent: the row's own, that of its parameters, or that of all rows."""
    table = [
        {"sku": "A"},
        {"sku": "B", "parameters": {"prompt": "of its parameters"}},
        {"sku": "C", "prompt": "its own", "parameters": {"prompt": "of its parameters"}},
    ]

    summary = run(harness, batch(table, tmp_path, parameters={"prompt": "of all", "duration": 3}))

    sent = {generation["prompt"] for generation in evolink.control.state()["generations"]}
    assert [line["prompt"] for line in manifest(summary)] == ["of all", "of its parameters", "its own"]
    assert sent == {"of all", "of its parameters", "its own"}


def test_rows_that_were_not_generated(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Skipped, invalid and failed rows state what they ask for, unless no request can be made of them."""
    evolink.control.inject("generation_failed", on="submit")
    (tmp_path / "A1").mkdir()
    (tmp_path / "A1" / "0.mp4").write_bytes(b"there already")
    table = [*rows(2), {"sku": "A2", "prompt": "Too long", "duration": 99}, {"sku": "A2", "prompt": "Twice"}]
    table += [{"sku": "A3", "prompts": "Misspelled"}, {"prompt": "No key"}]

    lines = manifest(run(harness, batch(table, tmp_path, max_failed=1, on_invalid="skip")))

    assert [line["status"] for line in lines] == ["failed", *["skipped"] * 5]
    assert [request_of(line) for line in lines] == [
        (TEXT, "Product 0"),
        (TEXT, "Product 1"),
        (TEXT, "Too long"),
        (TEXT, "Twice"),
        (None, None),
        (None, None),
    ]
    assert [line["seconds"] is None for line in lines] == [False, *[True] * 5]


def test_later_tries_keep_what_lines_state(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A try that finds everything landed, and one that was cleared, write the same lines again, times included."""
    operator = batch(rows(4), tmp_path, max_in_flight=2)
    lines = manifest(run(harness, operator))

    assert manifest(retry(harness, operator)) == lines
    assert manifest(clear(harness, operator)) == lines
    assert submissions(evolink) == 4


def test_a_row_that_was_removed_and_added_again(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A row that is back in the table has its line as before, though a manifest in between did without it."""
    lines = manifest(run(harness, batch(rows(3), tmp_path)))

    fewer = manifest(clear(harness, batch(rows(3)[1:], tmp_path)))
    again = manifest(clear(harness, batch(rows(3), tmp_path)))

    assert fewer == lines[1:]
    assert again == lines
    assert submissions(evolink) == 3


def test_a_try_that_fails_states_prompts_too(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A row that was refused and one that was never sent have their prompt, so that a gallery can name them."""
    evolink.control.inject("http_error", on="submit", status=402, times=9)

    lines = lines_of(failure_of(run, harness, batch(rows(2), tmp_path, max_in_flight=1)))

    assert [request_of(line) for line in lines.values()] == [(TEXT, "Product 0"), (TEXT, "Product 1")]
    assert [line["tries"] for line in lines.values()] == [1, 0]


def test_posters_of_files_that_were_there(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A skipped row states the poster that lies beside its file, also in a later try; one without has none."""
    for name in ("A0/0.mp4", "A0/0.mp4.poster.jpg", "A1/0.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"there already")

    lines = manifest(run(harness, batch(rows(2), tmp_path)))

    assert [line["uris"] for line in lines] == [[(tmp_path / f"A{n}" / "0.mp4").as_uri()] for n in range(2)]
    assert [line["posters"] for line in lines] == [[f"{lines[0]['uris'][0]}.poster.jpg"], [None]]
    assert manifest(retry(harness, batch(rows(2), tmp_path))) == lines
    assert submissions(evolink) == 0
