# SPDX-License-Identifier: Apache-2.0
"""The example DAGs on a real Airflow: scheduler, triggerer, dag-processor and api-server as separate processes.

One Airflow serves the whole module, since starting it takes most of a minute.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.airflow_stack import AirflowStack
from testkit.webhook import WebhookReceiver

DAGS = Path(__file__).parents[2] / "dags"
PROMPTS = 3
UNPAUSED = ("evolink_image_to_video", "evolink_product_videos", "evolink_content_review", "evolink_asset_consumer")


@pytest.fixture(scope="module")
def webhook() -> Iterator[WebhookReceiver]:
    """What the example DAGs publish to."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def evolink() -> Iterator[EmulatorHandle]:
    """An emulator whose generations take about ten seconds."""
    with running(Settings(clock=6.0)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, evolink: EmulatorHandle, webhook: WebhookReceiver
) -> Iterator[AirflowStack]:
    """An Airflow with the connections and the pool that the example DAGs use."""
    env = {
        "AIRFLOW_CONN_EVOLINK_DEFAULT": evolink.airflow_connection,
        "AIRFLOW_CONN_PUBLISH_WEBHOOK": webhook.connection,
        # The scheduled run lands in the default destination.
        "TMPDIR": str(tmp_path_factory.mktemp("tmp")),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    }
    with AirflowStack(tmp_path_factory.mktemp("airflow"), DAGS, env) as stack:
        stack.api.post("pools", {"name": "evolink", "slots": 4, "include_deferred": True})
        for dag_id in UNPAUSED:
            stack.wait_for_dag(dag_id)
            stack.api.patch(f"dags/{dag_id}", {"is_paused": False})
        yield stack


def generations(control: ControlClient) -> list[dict[str, Any]]:
    """Return all generations that EvoLink has accepted."""
    found: list[dict[str, Any]] = control.state()["generations"]
    return found


def seconds_of_video(path: Path) -> float:
    """Return the length of a video that has both picture and sound."""
    with av.open(str(path)) as media:
        assert media.streams.video
        assert media.streams.audio
        assert media.duration is not None
        return float(media.duration / av.time_base)


@pytest.mark.timeout(400)
def test_image_to_video(
    airflow: AirflowStack, evolink: EmulatorHandle, webhook: WebhookReceiver, tmp_path: Path
) -> None:
    """Submitted on a worker, polled in the triggerer with progress in the task's log, landed, published."""
    run = airflow.api.trigger("evolink_image_to_video", {"destination": tmp_path.as_uri()})
    states: set[str | None] = set()
    log_while_deferred = ""
    while (state := airflow.api.run_state("evolink_image_to_video", run)) not in {"success", "failed"}:
        now = airflow.api.task_states("evolink_image_to_video", run).get("generate")
        states.add(now)
        if now == "deferred":
            log_while_deferred = airflow.api.log("evolink_image_to_video", run, "generate")
        time.sleep(1)

    assert state == "success"
    assert "deferred" in states
    [generation] = generations(evolink.control)
    assert generation["id"] in log_while_deferred
    assert "processing" in log_while_deferred
    record = airflow.api.xcom("evolink_image_to_video", run, "generate")
    assert record["generation_id"] == generation["id"]
    [landed] = airflow.api.xcom("evolink_image_to_video", run, "land")
    file = tmp_path / generation["id"] / "0.mp4"
    assert landed["uri"] == file.as_uri()
    assert landed["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert seconds_of_video(file) == pytest.approx(5, abs=0.2)
    assert webhook.received == [[landed]]
    assert evolink.control.state()["api_key_leak_count"] == 0


@pytest.mark.timeout(400)
def test_product_videos(airflow: AirflowStack, evolink: EmulatorHandle, tmp_path: Path) -> None:
    """Every row is paid for once and landed, over several deferrals, and the next task reads the manifest."""
    dag, before = "evolink_product_videos", len(generations(evolink.control))
    run = airflow.api.trigger(dag, {"destination": tmp_path.as_uri(), "max_in_flight": 1})

    assert airflow.wait_for_run(dag, run) == "success"
    made = generations(evolink.control)[before:]
    skus = ["lighthouse-dawn", "lighthouse-storm", "lighthouse-night"]
    assert len({generation["idempotency_key"] for generation in made}) == len(made) == len(skus)
    summary = airflow.api.xcom(dag, run, "videos")
    assert (summary["total"], summary["landed"]) == (len(skus), len(skus))
    videos = {sku: [(tmp_path / f"{sku}-0.mp4").as_uri()] for sku in skus}
    assert airflow.api.xcom(dag, run, "report") == {"videos": videos, "missing": {}}
    assert seconds_of_video(tmp_path / "lighthouse-dawn-0.mp4") == pytest.approx(3, abs=0.2)
    # One line by each worker; of several triggers of one try, Airflow keeps the last one's log.
    assert airflow.api.log(dag, run, "videos").count(", 1 under way") == len(skus)


@pytest.mark.timeout(400)
def test_scheduled_content_triggers_its_consumer(
    airflow: AirflowStack, evolink: EmulatorHandle, tmp_path: Path
) -> None:
    """Scheduled and manual run: each prompt is paid for once and landed, and reaches the consumer."""
    before = len(generations(evolink.control))
    dag = "evolink_scheduled_content"
    airflow.api.patch(f"dags/{dag}", {"is_paused": False})
    airflow.wait_until("the scheduled run", lambda: airflow.api.get(f"dags/{dag}/dagRuns")["dag_runs"], timeout=60)
    [scheduled] = airflow.api.get(f"dags/{dag}/dagRuns")["dag_runs"]
    run = airflow.api.trigger(dag, {"destination": tmp_path.as_uri()})

    assert airflow.wait_for_run(dag, scheduled["dag_run_id"]) == "success"
    assert airflow.wait_for_run(dag, run) == "success"

    generated = generations(evolink.control)[before:]
    assert len(generated) == 2 * PROMPTS
    assert len({generation["idempotency_key"] for generation in generated}) == 2 * PROMPTS
    landed = {path.parent.name: path for path in tmp_path.glob("*/*/0.mp4")}
    assert len(landed) == PROMPTS
    assert set(landed) < {generation["id"] for generation in generated}
    found: dict[str, str] = {}

    def all_cataloged() -> bool:
        for run in airflow.api.get("dags/evolink_asset_consumer/dagRuns")["dag_runs"]:
            entries = airflow.api.xcom("evolink_asset_consumer", run["dag_run_id"], "catalog") or []
            found.update({entry["generation_id"]: entry["sha256"] for entry in entries})
        return set(found) >= set(landed)

    airflow.wait_until("the asset consumer", all_cataloged, timeout=120)
    for name, path in landed.items():
        assert found[name] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.timeout(400)
def test_content_review_waits_for_a_user(airflow: AirflowStack, webhook: WebhookReceiver, tmp_path: Path) -> None:
    """A user sees four frames of the video and its price; nothing is published before they approve, and then it is."""
    before = len(webhook.received)
    run = airflow.api.trigger("evolink_content_review", {"destination": tmp_path.as_uri()})

    def needs_approval() -> bool:
        return airflow.api.task_states("evolink_content_review", run).get("approve") in {"awaiting_input", "deferred"}

    airflow.wait_until("the approval request", needs_approval, timeout=200)
    assert len(webhook.received) == before
    # Airflow 3.3 mistakes a response within the first seconds for a crash of the task.
    time.sleep(10)
    task = f"dags/evolink_content_review/dagRuns/{run.replace('+', '%2B').replace(':', '%3A')}/taskInstances/approve/-1"
    body = airflow.api.get(f"{task}/hitlDetails")["body"]
    airflow.api.patch(f"{task}/hitlDetails", {"chosen_options": ["Approve"]})

    [landed] = airflow.api.xcom("evolink_content_review", run, "land")
    used = airflow.api.xcom("evolink_content_review", run, "generate")["usage"]["credits_used"]
    assert Path(landed["poster"].removeprefix("file://")).read_bytes().startswith(b"\xff\xd8\xff")
    assert "[![Watch](" in body
    assert f"It has cost {used} credits." in body
    assert airflow.wait_for_run("evolink_content_review", run) == "success"
    assert webhook.received[before:] == [airflow.api.xcom("evolink_content_review", run, "land")]
