# SPDX-License-Identifier: Apache-2.0
"""The events that OpenLineage's provider emits about a run on a real Airflow, deferred and mapped, and the assets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.posters.stamp import SUFFIX
from testkit.airflow_stack import AirflowStack

DAGS = Path(__file__).parent / "lineage"
PICTURE = Path(__file__).parents[2] / "dags" / "pictures" / "lighthouse.png"
DAG, CONSUMER = "lineage", "lineage_consumer"
FACET = "evolink_generations"
EVENTS = 13  # of files: one of the transfer, one of the single task, two mapped, two of the batch, seven recovered


@dataclass
class Run:
    """What a run has left.

    :param airflow: where it ran.
    :param run_id: of the run.
    :param folder: where it has landed everything.
    :param evolink: what it has paid.
    :param events: of OpenLineage, about the end of each task.
    """

    airflow: AirflowStack
    run_id: str
    folder: Path
    evolink: EmulatorHandle
    events: list[dict[str, Any]]

    def of(self, task: str) -> list[dict[str, Any]]:
        """Return the events about the end of a task."""
        return [event for event in self.events if event["job"]["name"] == f"{DAG}.{task}"]

    def record(self, task: str, map_index: int = -1) -> dict[str, Any]:
        """Return what a task has returned."""
        record: dict[str, Any] = self.airflow.api.xcom(DAG, self.run_id, task, map_index=map_index)
        return record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of everything that reports lineage, one task of which fails."""
    folder = tmp_path_factory.mktemp("lineage")
    table, sent = folder / "table.csv", folder / "events.jsonl"
    with table.open("w") as file:
        csv.writer(file).writerows([("sku", "image", "prompt"), ("a", PICTURE, "Steam"), ("b", PICTURE, "Light")])
    with running(Settings(clock=20.0)) as evolink, running(Settings(clock=20.0)) as refusing:
        refusing.control.inject("generation_failed", "submit", times=None)
        env = {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": evolink.airflow_connection,
            "AIRFLOW_CONN_EVOLINK_REFUSING": refusing.airflow_connection,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(sent), "append": True}),
        }
        with AirflowStack(folder / "airflow", DAGS, env) as airflow:
            for dag in (DAG, CONSUMER):
                airflow.wait_for_dag(dag)
                airflow.api.unpause(dag)
            conf = {"folder": (folder / "landed").as_uri(), "picture": str(PICTURE), "table": str(table)}
            run_id = airflow.api.trigger(DAG, conf)
            assert airflow.wait_for_run(DAG, run_id) == "success"
            events = [json.loads(line) for line in sent.read_text().splitlines()]
            ends = [event for event in events if event["eventType"] in {"COMPLETE", "FAIL"}]
            yield Run(airflow, run_id, folder / "landed", evolink, ends)


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the namespace and the name of each dataset."""
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def files(folder: Path) -> list[tuple[str, str]]:
    """Return the files below a folder, as datasets; posters are none."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(SUFFIX))
    return sorted(("file", str(path)) for path in files)


def facts(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the facet of an event says about each generation."""
    generations: list[dict[str, Any]] = event["run"]["facets"][FACET]["generations"]
    return generations


@pytest.mark.timeout(400)
def test_a_deferred_task(run: Run) -> None:
    """The task that has waited in the triggerer names its picture, its file, and what that has cost."""
    [event] = run.of("single")
    record = run.record("single")

    assert names(event["inputs"]) == [("file", str(PICTURE))]
    assert names(event["outputs"]) == files(run.folder / "größer #1")
    [generation] = facts(event)
    usage = record["usage"]
    assert generation["durationSeconds"] >= 0
    assert (generation["generationId"], generation["model"]) == (record["generation_id"], record["model"])
    assert (generation["creditsReserved"], generation["creditsUsed"]) == (
        usage["credits_reserved"],
        usage["credits_used"],
    )


@pytest.mark.timeout(400)
def test_mapped_tasks(run: Run) -> None:
    """Each mapped task has a run of its own, with its own file and generation."""
    events = run.of("mapped")

    assert len({event["run"]["runId"] for event in events}) == len(events) == 2
    assert sorted(output for event in events for output in names(event["outputs"])) == files(run.folder / "mapped")
    made = {generation["generationId"] for event in events for generation in facts(event)}
    assert made == {run.record("mapped", index)["generation_id"] for index in range(2)}


@pytest.mark.timeout(400)
def test_the_way_from_a_submission_to_a_file(run: Run) -> None:
    """The generation leads from the task that submits to the one that lands."""
    [submitted], [collected], [landed] = run.of("submitted"), run.of("collected"), run.of("landed")
    generation = [("evolink", run.record("submitted")["generation_id"])]

    assert names(submitted["outputs"]) == names(collected["inputs"]) == names(landed["inputs"]) == generation
    assert names(landed["outputs"]) == files(run.folder / "landed")


@pytest.mark.timeout(400)
def test_a_batch(run: Run) -> None:
    """The batch, which was resumed several times, names its table, pictures, manifest and files."""
    [event] = run.of("batch")

    assert names(event["inputs"]) == [("file", str(run.folder.parent / "table.csv")), ("file", str(PICTURE))]
    assert sorted(names(event["outputs"])) == files(run.folder / "batch")
    assert [generation["status"] for generation in facts(event)] == ["landed", "landed"]
    assert event["run"]["facets"][FACET]["creditsUsed"] == pytest.approx(run.record("batch")["credits_used"])


@pytest.mark.timeout(400)
def test_python(run: Run) -> None:
    """A decorated function has inputs after a deferral; what the hook lands, Airflow itself collects."""
    [decorated], [python] = run.of("decorated"), run.of("python")

    assert names(decorated["inputs"]) == [("file", str(PICTURE))]
    assert names(decorated["outputs"]) == files(run.folder / "decorated")
    assert names(python["outputs"]) == files(run.folder / "python")


@pytest.mark.timeout(400)
def test_a_failure(run: Run) -> None:
    """The event about a failure says what was reserved for what."""
    [event] = run.of("failed")

    assert event["eventType"] == "FAIL"
    [generation] = facts(event)
    assert generation["status"] == "failed"
    assert generation["creditsReserved"] > 0


@pytest.mark.timeout(400)
def test_a_recovery(run: Run) -> None:
    """The recovery leads from everything that was paid for to its copies."""
    [event] = run.of("recovered")
    paid = {generation["id"] for generation in run.evolink.control.state()["generations"]}

    assert {name for namespace, name in names(event["inputs"]) if namespace == "evolink"} == paid
    assert sorted(names(event["outputs"])) == files(run.folder / "recovered")
    assert event["run"]["facets"][FACET]["generationCount"] == len(paid)


@pytest.mark.timeout(400)
def test_the_assets(run: Run) -> None:
    """Airflow lists the assets under their names, and their events reach a consumer with what they say."""
    got: dict[str, dict[str, Any]] = {}

    def all_consumed() -> bool:
        for consumed in run.airflow.api.get(f"dags/{CONSUMER}/dagRuns")["dag_runs"]:
            for extra in run.airflow.api.xcom(CONSUMER, consumed["dag_run_id"], "events") or []:
                got[extra["uri"]] = extra
        return len(got) == EVENTS

    run.airflow.wait_until("the consumer", all_consumed, timeout=120)
    lamp = run.record("single")["landed"][0]
    assert got[lamp["uri"]]["name"] == "lineage/lamp"
    assert got[lamp["uri"]]["prompt"] == "The lamp turns. See https://example.com/brief"
    assert {extra["name"] for extra in got.values()} >= {"shop/a", "shop/b", "lineage/lamp"}
    assets = run.airflow.api.get("assets", only_active=False, limit=100)["assets"]
    uris = {asset["name"]: asset["uri"] for asset in assets}
    assert (uris["lineage/lamp"], uris["shop/a"]) == ("evolink://lineage/lamp", "evolink://shop/a")


@pytest.mark.timeout(400)
def test_producers_and_consumers(run: Run) -> None:
    """An asset that tasks name shows, in its own group, which of them make it and which use it."""
    [asset] = [each for each in run.airflow.api.get("assets", limit=100)["assets"] if each["name"] == "lamps"]

    assert (asset["uri"], asset["group"]) == ("evolink://lineage/lamps", "evolink")
    assert [(task["dag_id"], task["task_id"]) for task in asset["producing_tasks"]] == [(DAG, "single")]
    assert [(task["dag_id"], task["task_id"]) for task in asset["consuming_tasks"]] == [(CONSUMER, "events")]
    [event] = run.airflow.api.get("assets/events", asset_id=asset["id"])["asset_events"]
    assert event["extra"] == {"landed": run.record("single")["landed"]}
