# SPDX-License-Identifier: Apache-2.0
"""What OpenLineage's own extractor gets from the operators, before, after and instead of their success."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from airflow.providers.openlineage.extractors.base import DefaultExtractor, OperatorLineage
from airflow.sdk import AssetAlias, BaseOperator
from jsonschema import Draft202012Validator
from openlineage.client.serde import Serde

import airflow_provider_evolink.lineage
from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.operators.openlineage import FACET
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from testkit.s3 import S3
from tests.batch.batches import batch, rows
from tests.batch.batches import run as run_batch
from tests.operators.landings import LandingHarness, files, landing
from tests.operators.submissions import TEXT, accepted, operator
from tests.task_harness import first_event

ALIAS = AssetAlias("videos")
PNG = Path(__file__).parent.parent / "data" / "frame.png"
SCHEMA = json.loads(
    (Path(airflow_provider_evolink.lineage.__file__).parent / "EvoLinkGenerationsRunFacet.json").read_text()
)


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


def started(task: BaseOperator) -> dict[str, Any]:
    """Return what the event at the start of a run says."""
    return _said(DefaultExtractor(task).extract())


def completed(task: BaseOperator) -> dict[str, Any]:
    """Return what the event at its success says."""
    return _said(DefaultExtractor(task).extract_on_complete(None))


def failed(task: BaseOperator) -> dict[str, Any]:
    """Return what the event at its failure says."""
    return _said(DefaultExtractor(task).extract_on_failure(None))


def _said(lineage: OperatorLineage[Any, Any] | None) -> dict[str, Any]:
    assert lineage is not None
    sent = json.loads(Serde.to_json(lineage))
    facet = sent.get("run_facets", {}).get(FACET, {})
    if facet:
        _check_schema(facet)
        assert facet["_schemaURL"] == f"{SCHEMA['$id']}#/$defs/EvoLinkGenerationsRunFacet"
    names = {
        each: [(dataset["namespace"], dataset["name"]) for dataset in sent[each]] for each in ("inputs", "outputs")
    }
    return {**names, "facet": facet}


def test_the_address_of_the_schema() -> None:
    """The facet names its schema as OpenLineage asks of custom facets: by an https URL that has a version."""
    address = urlsplit(SCHEMA["$id"])
    assert (address.scheme, Path(address.path).name) == ("https", "EvoLinkGenerationsRunFacet.json")
    assert re.fullmatch(r"\d+-\d+-\d+", Path(address.path).parent.name)


def _check_schema(facet: dict[str, Any]) -> None:
    facet_schema = SCHEMA["$defs"]["EvoLinkGenerationsRunFacet"]["allOf"][1]
    Draft202012Validator({**facet_schema, "$defs": SCHEMA["$defs"]}).validate(facet)
    assert set(facet) - {"_producer", "_schemaURL"} <= set(facet_schema["properties"])
    for generation in facet["generations"]:
        assert set(generation) <= set(SCHEMA["$defs"]["Generation"]["properties"])


def pictured(folder: Path | str, **kwargs: Any) -> EvoLinkImageToVideoOperator:
    """Return a task that makes a video of a stored picture, and lands it."""
    given = {"prompt": "Waves", "image": str(PNG), "duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="task", destination=str(folder), **given)


def test_a_picture_becomes_a_landed_video(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """The picture is known at the start; the file, the model, the price and the time at the end."""
    task = pictured(tmp_path)
    picture = [("file", str(PNG))]
    assert started(task) == {"inputs": picture, "outputs": [], "facet": {}}

    record = harness.run(task)

    reported = completed(task)
    [file] = files(tmp_path)
    assert (reported["inputs"], reported["outputs"]) == (picture, [("file", str(file))])
    [generation] = reported["facet"]["generations"]
    assert generation == {
        "generationId": record["generation_id"],
        "model": record["model"],
        "status": "completed",
        "creditsReserved": record["usage"]["credits_reserved"],
        "creditsUsed": record["usage"]["credits_used"],
        "durationSeconds": generation["durationSeconds"],
    }
    assert (reported["facet"]["generationCount"], reported["facet"]["fileCount"]) == (1, 1)


def test_another_process_resumes(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A new operator that is resumed after a deferral says the same as one that has waited."""
    with pytest.raises(TaskDeferred) as deferred:
        pictured(tmp_path).execute(harness.context)
    event = _event(deferred.value)
    resumed = pictured(tmp_path)

    resumed.resume_execution("execute_complete", {"event": event}, harness.context)

    reported = completed(resumed)
    assert reported["inputs"] == [("file", str(PNG))]
    assert reported["outputs"] == [("file", str(files(tmp_path)[0]))]
    assert reported["facet"]["creditsReserved"] > 0


def _event(deferred: TaskDeferred) -> Any:
    import asyncio

    return asyncio.run(first_event(deferred.trigger))


def test_from_s3_to_s3(
    emulator: EmulatorHandle, harness: LandingHarness, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket is the namespace and a key the name, without the connection id, and not percent-encoded."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    s3.file_system().pipe_file("videos/pictures/größe #1.png", PNG.read_bytes())
    task = pictured("s3://store@videos/größe #1", image="s3://store@videos/pictures/größe #1.png")

    record = harness.run(task)

    reported = completed(task)
    assert reported["inputs"] == [("s3://videos", "pictures/größe #1.png")]
    assert reported["outputs"] == [("s3://videos", f"größe #1/{record['generation_id']}/0.mp4")]


def test_generate_wait_and_land(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """The generation itself connects the task that submits, the one that waits and the one that lands."""
    submitting = operator(wait_for_completion=False)
    submitted = harness.run(submitting)
    made = [("evolink", submitted["generation_id"])]
    waiting = EvoLinkGenerationSensor(task_id="wait", generation_id=submitted, poll_interval=1)
    record = harness.run(waiting)
    transfer = EvoLinkToObjectStorageOperator(task_id="land", generation=record, destination=str(tmp_path))

    harness.run(transfer)

    assert completed(submitting)["outputs"] == completed(waiting)["inputs"] == completed(transfer)["inputs"] == made
    assert completed(transfer)["outputs"] == [("file", str(files(tmp_path)[0]))]
    assert completed(transfer)["facet"]["creditsUsed"] == record["usage"]["credits_used"]


def test_landing_by_id(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A task that was given an id only says what EvoLink reports, not how long ago the generation was submitted."""
    record = harness.run(operator())
    generation_id = record["generation_id"]
    transfer = EvoLinkToObjectStorageOperator(task_id="land", generation=generation_id, destination=str(tmp_path))
    harness.run(transfer)

    [generation] = completed(transfer)["facet"]["generations"]
    assert (generation["model"], generation["creditsUsed"]) == (record["model"], record["usage"]["credits_used"])
    assert generation.get("durationSeconds") == EvoLinkHook().get_generation(generation_id).duration


def test_a_decorated_function(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """What the function returned is an input and a prompt after a deferral too, and the function is called once."""
    calls = []

    def parameters() -> dict[str, Any]:
        calls.append(1)
        return {"prompt": "Waves", "image_urls": [str(PNG), "https://x.test/a.png?token=1"], "duration": 3}

    def decorated() -> Any:
        model = "gemini-omni-flash-reference-to-video"
        decorate = evolink_task(model=model, destination=str(tmp_path), outlets=[ALIAS], poll_interval=1)
        return decorate(parameters)().operator  # type: ignore[attr-defined]

    with pytest.raises(TaskDeferred) as deferred:
        decorated().execute(harness.context)
    kept = json.loads(json.dumps(dict(deferred.value.kwargs or {})))
    resumed = decorated()
    resumed.resume_execution("execute_complete", {**kept, "event": _event(deferred.value)}, harness.context)

    assert completed(resumed)["inputs"] == [("file", str(PNG))]
    [announced] = harness.outlet_events[ALIAS].asset_alias_events
    assert announced.extra["prompt"] == "Waves"
    assert len(calls) == 1
    assert "token" not in json.dumps(kept)


def test_a_generation_that_fails(emulator: EmulatorHandle, harness: LandingHarness) -> None:
    """A failure says what was paid, and for what."""
    emulator.control.inject("generation_failed", "submit")
    task = operator()
    with pytest.raises((AirflowException, EvoLinkFailException)):
        harness.run(task)

    reported = failed(task)
    [generation] = reported["facet"]["generations"]
    assert generation["generationId"] == accepted(emulator)[0]["id"]
    assert (generation["model"], generation["status"]) == (TEXT, "failed")
    assert generation["creditsReserved"] > 0
    assert reported["outputs"] == []


def test_a_failure_before_anything_was_sent(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A task that has paid for nothing has no facet, and its events are complete all the same."""
    task = landing(tmp_path)
    task.destination = "relative"
    with pytest.raises(EvoLinkFailException):
        harness.run(task)

    assert failed(task) == {"inputs": [], "outputs": [], "facet": {}}


def test_arguments_that_name_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Arguments that are no media cost a warning, never the event, let alone the task."""
    task = pictured(tmp_path)
    task.image = object()

    assert started(task) == {"inputs": [], "outputs": [], "facet": {}}
    assert "not known to OpenLineage" in capsys.readouterr().out


def test_a_batch(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A batch reads its table and the rows' pictures, and writes the manifest and the files, over all its workers."""
    table, folder = tmp_path / "table.jsonl", tmp_path / "videos"
    pictures = [{**row, "image": str(PNG)} for row in rows(3)]
    table.write_text("\n".join(json.dumps(row) for row in pictures))
    task = batch(str(table), folder, model="gemini-omni-flash-image-to-video", max_in_flight=1, poll_interval=1)
    assert started(task)["inputs"] == [("file", str(table))]

    summary = run_batch(harness, task)

    reported = completed(task)
    assert reported["inputs"] == [("file", str(table)), ("file", str(PNG))]
    assert set(reported["outputs"]) == {("file", str(path)) for path in files(folder)}
    assert len(harness.deferrals) > 1
    facet = reported["facet"]
    assert (facet["generationCount"], facet["fileCount"]) == (3, 3)
    assert facet["creditsUsed"] == pytest.approx(summary["credits_used"])
    assert {row["status"] for row in facet["generations"]} == {"landed"}
    assert all(row["durationSeconds"] > 0 for row in facet["generations"])


def test_a_batch_that_fails(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """What has landed, and what the others have cost, is in the event about the failure."""
    emulator.control.inject("generation_failed", "submit")
    task = batch(rows(3), tmp_path, poll_interval=1)
    with pytest.raises((AirflowException, EvoLinkFailException)):
        run_batch(harness, task)

    facet = failed(task)["facet"]
    assert sorted(row["status"] for row in facet["generations"]) == ["failed", "landed", "landed"]
    assert facet["fileCount"] == 2


def test_the_documented_facet() -> None:
    """The example on the page has the facet's form."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "lineage.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    _check_schema(json.loads(example))
