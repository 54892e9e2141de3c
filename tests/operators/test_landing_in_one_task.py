# SPDX-License-Identifier: Apache-2.0
"""A task that generates and lands: what it returns and emits, however it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import HookLineageCollector, TaskDeferred
from airflow.sdk import DAG, Asset, AssetAlias, BaseOperator, ObjectStoragePath

from airflow_provider_evolink.api.errors import FileConflictError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from testkit.s3 import S3
from tests.operators.landings import LandingHarness, check_landed, files, landing, sent
from tests.operators.submissions import accepted, operator
from tests.task_harness import Store, TaskHarness

PNG = Path(__file__).parent.parent / "data" / "frame.png"


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A destination."""
    return tmp_path / "videos"


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_task_that_generates_lands(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, deferrable: bool
) -> None:
    """Deferred or not, one task submits, waits and lands; the API key stays away from the hosts of results."""
    record = harness.run(landing(folder, deferrable=deferrable))

    [generation] = accepted(emulator)
    assert len(harness.deferrals) == deferrable
    assert (record["generation_id"], record["status"]) == (generation["id"], "completed")
    check_landed(record, folder)
    assert files(folder) == [folder / generation["id"] / "0.mp4"]
    assert sent(emulator, "submit", "media") == (1, 1)
    assert emulator.control.state()["api_key_leak_count"] == 0
    assert harness.ti.xcoms["result_link"] == record["results"][0]


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_a_resume_without_an_event_lands(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, error: str
) -> None:
    """A worker that is resumed because the deferral timed out, or the trigger failed, lands what it reads."""
    with pytest.raises(TaskDeferred):
        landing(folder).execute(harness.context)
    emulator.control.advance(1000)

    record = landing(folder).resume_execution("__fail__", {"error": error}, harness.context)

    check_landed(record, folder)
    assert sent(emulator, "submit") == (1,)


def test_without_a_destination_nothing_lands(emulator: EmulatorHandle, harness: LandingHarness) -> None:
    """Without a destination nothing is downloaded, and the record is the same but for what has landed."""
    record = harness.run(operator())

    assert "landed" not in record
    assert sent(emulator, "media") == (0,)


def test_every_result_lands_under_the_pattern(
    emulator: EmulatorHandle, harness: LandingHarness, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several results land in a bucket as the pattern says, and the connection is named beside the URI."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    task = EvoLinkGenerateOperator(
        task_id="task",
        model="gpt-image-2",
        parameters={"prompt": "A lighthouse", "n": "2"},
        poll_interval=1,
        destination=ObjectStoragePath("s3://store@videos/one"),
        filename_pattern="{model}/{index:02d}.{ext}",
    )

    record = harness.run(task)

    uris = [f"s3://videos/one/gpt-image-2/0{index}.png" for index in (0, 1)]
    assert [entry["uri"] for entry in record["landed"]] == uris
    assert [entry["storage_conn_id"] for entry in record["landed"]] == ["store", "store"]
    assert len(list((s3.folder / "videos/one/gpt-image-2").iterdir())) == 2


def test_image_to_video_lands_under_a_templated_name(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path
) -> None:
    """Jinja renders destination and pattern, and leaves the pattern's single braces alone."""
    task = EvoLinkImageToVideoOperator(
        task_id="task", prompt="x", image=str(PNG), duration=3, poll_interval=1,
        destination="{{ conf.folder }}/{{ ds }}", filename_pattern="{{ conf.sku }}.{ext}",
    )  # fmt: skip
    task.render_template_fields({**harness.context, "conf": {"folder": str(folder), "sku": "A-1"}, "ds": "2026-11-27"})

    record = harness.run(task)

    check_landed(record, folder)
    assert files(folder) == [folder / "2026-11-27" / "A-1.mp4"]


def test_mapped_tasks_land(emulator: EmulatorHandle, folder: Path) -> None:
    """Each instance of a mapped task lands in its own folder, and pays once."""
    requests = [{"parameters": {"prompt": name, "duration": 3}, "destination": str(folder / name)} for name in "ab"]
    with DAG("mapped", schedule=None):
        mapped = EvoLinkGenerateOperator.partial(
            task_id="task", model="gemini-omni-flash-text-to-video", poll_interval=1, filename_pattern="video.{ext}"
        ).expand_kwargs(requests)

    for map_index, request in enumerate(requests):
        harness = LandingHarness()
        harness.ti.map_index = map_index
        check_landed(harness.run(mapped.unmap(request)), Path(request["destination"]))

    assert files(folder) == [folder / "a" / "video.mp4", folder / "b" / "video.mp4"]
    assert len(accepted(emulator)) == 2


def test_asset_events(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """An alias gets an event for each file, an asset gets one with the whole list."""
    alias, asset = AssetAlias("landed-videos"), Asset("videos")

    record = harness.run(landing(folder, outlets=[alias, asset]))

    [event] = harness.outlet_events[alias].asset_alias_events
    [entry], used = record["landed"], record["usage"]["credits_used"]
    origin = {"model": record["model"], "credits": used, "prompt": "A lighthouse"}
    assert (event.dest_asset_key.uri, event.extra) == (entry["uri"], {**entry, **origin})
    assert harness.outlet_events[asset].extra == {"landed": record["landed"]}


def test_lineage(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is reported as an output of the hook, where Airflow collects lineage."""
    collector = HookLineageCollector()
    monkeypatch.setattr("airflow_provider_evolink.execution.announcement.hook_lineage_collector", lambda: collector)

    record = harness.run(landing(folder))

    assert [output.asset.uri for output in collector.collected_assets.outputs] == [record["landed"][0]["uri"]]


def test_lineage_that_fails(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that fails costs a warning; the file has landed, and its asset event is there."""

    class Broken(HookLineageCollector):
        def add_output_asset(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("no such scheme")

    monkeypatch.setattr("airflow_provider_evolink.execution.announcement.hook_lineage_collector", Broken)
    alias = AssetAlias("videos")

    record = harness.run(landing(folder, outlets=[alias]))

    check_landed(record, folder)
    assert len(harness.outlet_events[alias].asset_alias_events) == 1


def test_a_model_that_makes_no_files(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """A model that makes no files has landed nothing, and that is a success."""
    emulator.control.inject("no_results")
    parameters = {"source_task_id": "task-unified-1", "result_id": "1", "name": "Ada", "description": "A voice"}
    task = EvoLinkGenerateOperator(
        task_id="task",
        model="suno-persona",
        parameters={"model_params": parameters},
        poll_interval=1,
        destination=str(folder),
    )

    assert harness.run(task)["landed"] == []


# Executed by hand inside another task


def by_hand(harness: TaskHarness, *tasks: EvoLinkGenerateOperator) -> list[dict[str, Any]]:
    """Execute operators by hand, inside another task."""
    context = {**harness.context, "task": BaseOperator(task_id="outer")}
    return [task.execute(context) for task in tasks]


def test_calls_inside_another_task_land(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """Each call lands what it has paid for, and a retry of the outer task downloads nothing."""
    tasks = [landing(folder, deferrable=False), landing(folder, deferrable=False)]
    first = by_hand(harness, *tasks)
    harness.ti.try_number += 1

    again = by_hand(harness, *tasks)

    assert [record["landed"] for record in again] == [record["landed"] for record in first]
    assert len(files(folder)) == 2
    assert sent(emulator, "submit", "media") == (2, 2)


def test_no_call_replaces_the_file_of_another(emulator: EmulatorHandle, harness: LandingHarness, folder: Path) -> None:
    """Two calls that land under the same name: the second one leaves the file of the first alone, in every try."""
    tasks = [landing(folder, deferrable=False, filename_pattern="video.{ext}") for _ in range(2)]
    tasks[1].parameters = {"prompt": "A harbor", "duration": 4}
    for _ in range(2):
        with pytest.raises(EvoLinkFailException, match=r"video\.mp4") as caught:
            by_hand(harness, *tasks)
        assert isinstance(caught.value.error, FileConflictError)
        harness.ti.try_number += 1

    assert len(files(folder)) == 1
    assert sent(emulator, "submit") == (2,)


def test_a_deferral_carries_nothing_about_the_landing(
    emulator: EmulatorHandle, harness: LandingHarness, folder: Path
) -> None:
    """Where to land is known to the worker only: the trigger's arguments are those of a task that does not land."""
    arguments = []
    for task in (operator(), landing(folder)):
        harness.store = Store()
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(harness.context)
        arguments.append(deferred.value.trigger.serialize()[1].keys())

    assert arguments[0] == arguments[1]
    assert str(folder) not in str(deferred.value.trigger.serialize())
