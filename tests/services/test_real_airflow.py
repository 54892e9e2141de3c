"""
The example DAGs on a real Airflow: scheduler, triggerer, dag-processor and api-server, each a process of its own.

One Airflow serves the whole module, since starting it takes most of a minute.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest

from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from demo.stack import AirflowStack

DAGS = Path(__file__).parents[2] / "dags"
PROMPTS = 3


class Webhook:
    """Takes what the example DAGs publish."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    """A webhook receiver."""
    receiver = Webhook()
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture(scope="module")
def evolink() -> Iterator[EmulatorHandle]:
    """An emulator whose generations take about ten seconds."""
    with running(Settings(clock=6.0)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, evolink: EmulatorHandle, webhook: Webhook
) -> Iterator[AirflowStack]:
    """A whole Airflow, with the connections and the pool that the example DAGs name."""
    env = {
        "AIRFLOW_CONN_EVOLINK_DEFAULT": evolink.airflow_connection,
        "AIRFLOW_CONN_PUBLISH_WEBHOOK": json.dumps({"conn_type": "http", "host": webhook.url}),
        # This morning's run of the scheduled DAG lands in the default destination.
        "TMPDIR": str(tmp_path_factory.mktemp("tmp")),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    }
    with AirflowStack(tmp_path_factory.mktemp("airflow"), DAGS, env) as stack:
        stack.api.post("pools", {"name": "evolink", "slots": 4, "include_deferred": True})
        for dag_id in ("evolink_image_to_video", "evolink_content_review", "evolink_asset_consumer"):
            stack.wait_for_dag(dag_id)
            stack.api.patch(f"dags/{dag_id}", {"is_paused": False})
        yield stack


def generations(control: ControlClient) -> list[dict[str, Any]]:
    """All generations that EvoLink has accepted."""
    found: list[dict[str, Any]] = control.state()["generations"]
    return found


def seconds_of_video(path: Path) -> float:
    """The length of a video that has both picture and sound."""
    with av.open(str(path)) as media:
        assert media.streams.video
        assert media.streams.audio
        assert media.duration is not None
        return float(media.duration / av.time_base)


@pytest.mark.timeout(400)
def test_image_to_video(airflow: AirflowStack, evolink: EmulatorHandle, webhook: Webhook, tmp_path: Path) -> None:
    """Submitted on a worker, waited for in the triggerer with its progress in the task's log, landed, published."""
    run = airflow.api.trigger("evolink_image_to_video", {"destination": tmp_path.as_uri()})
    seen: set[str | None] = set()
    log_while_deferred = ""
    while (state := airflow.api.run_state("evolink_image_to_video", run)) not in {"success", "failed"}:
        now = airflow.api.task_states("evolink_image_to_video", run).get("generate")
        seen.add(now)
        if now == "deferred":
            log_while_deferred = airflow.api.log("evolink_image_to_video", run, "generate")
        time.sleep(1)

    assert state == "success"
    assert "deferred" in seen
    [made] = generations(evolink.control)
    assert made["id"] in log_while_deferred
    assert "processing" in log_while_deferred
    record = airflow.api.xcom("evolink_image_to_video", run, "generate")
    assert record["generation_id"] == made["id"]
    [landed] = airflow.api.xcom("evolink_image_to_video", run, "land")
    file = tmp_path / made["id"] / "0.mp4"
    assert landed["uri"] == file.as_uri()
    assert landed["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert seconds_of_video(file) == pytest.approx(5, abs=0.2)
    assert webhook.received == [[landed]]
    assert evolink.control.state()["api_key_leak_count"] == 0


@pytest.mark.timeout(400)
def test_scheduled_content_wakes_its_consumer(airflow: AirflowStack, evolink: EmulatorHandle, tmp_path: Path) -> None:
    """This morning's run and one by hand: each prompt of each is paid for once and landed, and told to the consumer."""
    before = len(generations(evolink.control))
    dag = "evolink_scheduled_content"
    airflow.api.patch(f"dags/{dag}", {"is_paused": False})
    airflow.wait_until("this morning's run", lambda: airflow.api.get(f"dags/{dag}/dagRuns")["dag_runs"], timeout=60)
    [morning] = airflow.api.get(f"dags/{dag}/dagRuns")["dag_runs"]
    run = airflow.api.trigger(dag, {"destination": tmp_path.as_uri()})

    assert airflow.wait_for_run(dag, morning["dag_run_id"]) == "success"
    assert airflow.wait_for_run(dag, run) == "success"

    made = generations(evolink.control)[before:]
    assert len(made) == 2 * PROMPTS
    assert len({one["idempotency_key"] for one in made}) == 2 * PROMPTS
    landed = {path.parent.name: path for path in tmp_path.glob("*/*/0.mp4")}
    assert len(landed) == PROMPTS
    assert set(landed) < {one["id"] for one in made}
    found: dict[str, str] = {}

    def all_catalogued() -> bool:
        for one in airflow.api.get("dags/evolink_asset_consumer/dagRuns")["dag_runs"]:
            entries = airflow.api.xcom("evolink_asset_consumer", one["dag_run_id"], "catalogue") or []
            found.update({entry["generation_id"]: entry["sha256"] for entry in entries})
        return set(found) >= set(landed)

    airflow.wait_until("the asset consumer", all_catalogued, timeout=120)
    for name, path in landed.items():
        assert found[name] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.timeout(400)
def test_content_review_waits_for_a_person(airflow: AirflowStack, webhook: Webhook, tmp_path: Path) -> None:
    """Nothing is published before a person has approved it in Airflow, and then it is."""
    before = len(webhook.received)
    run = airflow.api.trigger("evolink_content_review", {"destination": tmp_path.as_uri()})

    def is_asked() -> bool:
        return airflow.api.task_states("evolink_content_review", run).get("approve") in {"awaiting_input", "deferred"}

    airflow.wait_until("the question for approval", is_asked, timeout=200)
    assert len(webhook.received) == before
    # Airflow 3.3 takes an answer within the first seconds for a crash of the task.
    time.sleep(10)
    task = f"dags/evolink_content_review/dagRuns/{run.replace('+', '%2B').replace(':', '%3A')}/taskInstances/approve/-1"
    airflow.api.patch(f"{task}/hitlDetails", {"chosen_options": ["Approve"]})

    assert airflow.wait_for_run("evolink_content_review", run) == "success"
    assert webhook.received[before:] == [airflow.api.xcom("evolink_content_review", run, "land")]
