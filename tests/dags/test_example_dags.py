# SPDX-License-Identifier: Apache-2.0
"""The example DAGs in one process, with Airflow's own ``dag.test()``: state store, XCom and templates are Airflow's."""

from __future__ import annotations

import ast
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.webhook import WebhookReceiver
from tests.recovery.generations import submit

FOLDER = Path(__file__).parents[2] / "dags"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    """The example DAGs, on a fresh Airflow database."""
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb

    from tests.loaded_dag import DagBag

    initdb()
    Pool.create_or_update_pool(name="evolink", slots=4, description="", include_deferred=True)
    bag = DagBag(str(FOLDER))
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(autouse=True)
def _poll_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """The receiver behind the webhook connection."""
    with WebhookReceiver() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_PUBLISH_WEBHOOK", receiver.connection)
        yield receiver


def test_every_example_is_there(dags: dict[str, DAG]) -> None:
    """Each file is a DAG of the same name, without an import error."""
    assert set(dags) == {file.stem for file in FILES}
    assert len(dags) == 7


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_example_states_its_cost(file: Path) -> None:
    """Its docstring states what it shows and what it costs."""
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""

    assert "Shows" in doc
    assert "**Costs**" in doc


def test_every_example_is_described_in_the_ui(dags: dict[str, DAG]) -> None:
    """Airflow's UI shows what each example does and costs, in a line and in full."""
    for dag in dags.values():
        assert re.search(r": (about \d+ credits|costs nothing)", dag.description or ""), dag.dag_id
        assert dag.doc_md


@pytest.mark.filterwarnings("default")
def test_image_to_video(
    dags: dict[str, DAG], emulator: EmulatorHandle, webhook: WebhookReceiver, tmp_path: Path
) -> None:
    """From image to published video: one payment, one file, one message."""
    run = dags["evolink_image_to_video"].test(run_conf={"destination": tmp_path.as_uri()})

    assert run.state == "success"
    [made] = emulator.control.state()["generations"]
    [[landed]] = webhook.received
    file = tmp_path / made["id"] / "0.mp4"
    assert (landed["uri"], landed["bytes"]) == (file.as_uri(), file.stat().st_size)
    assert emulator.control.state()["requests"]["submit"] == 1


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["evolink_image_to_video", "evolink_content_review", "evolink_product_videos"])
def test_an_example_finds_its_files_in_the_checkout_of_the_worker(
    emulator: EmulatorHandle, webhook: WebhookReceiver, tmp_path: Path, name: str
) -> None:
    """The params' defaults come from the dag-processor, whose checkout of the DAG bundle workers don't have."""
    defaults = params_of(shutil.copytree(FOLDER, tmp_path / "processor"), name)
    shutil.rmtree(tmp_path / "processor")
    dag = parse(shutil.copytree(FOLDER, tmp_path / "worker"), name)
    paying = dag.partial_subset(task_ids=["generate", "videos"], include_upstream=True)

    run = paying.test(run_conf={**defaults, "destination": (tmp_path / "landed").as_uri()})

    assert run.state == "success"
    assert emulator.control.state()["requests"]["submit"] >= 1


@pytest.mark.filterwarnings("default")
def test_fan_out(dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path) -> None:
    """Each prompt of the run is paid for once and landed, however many there are."""
    prompts = [f"A kite, number {number}" for number in range(4)]
    run = dags["evolink_fan_out"].test(run_conf={"prompts": prompts, "destination": tmp_path.as_uri()})

    assert run.state == "success"
    made = emulator.control.state()["generations"]
    assert sorted(generation["prompt"] for generation in made) == prompts
    assert {path.parent.name for path in tmp_path.glob("*/0.mp4")} == {generation["id"] for generation in made}


@pytest.mark.filterwarnings("default")
def test_scheduled_content(dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path) -> None:
    """Each prompt is a separate generation, landed under the day of the run."""
    run = dags["evolink_scheduled_content"].test(run_conf={"destination": tmp_path.as_uri()})

    assert run.state == "success"
    made = emulator.control.state()["generations"]
    assert (
        len({generation["idempotency_key"] for generation in made})
        == len({generation["prompt"] for generation in made})
        == 3
    )
    day = run.logical_date.strftime("%Y-%m-%d")
    assert {path.parent.name for path in (tmp_path / day).glob("*/0.mp4")} == {generation["id"] for generation in made}


@pytest.mark.filterwarnings("default")
def test_product_videos(dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path) -> None:
    """Each product of the table has a video named after it, paid for once, and the report says where."""
    run = dags["evolink_product_videos"].test(run_conf={"destination": tmp_path.as_uri()})

    assert run.state == "success"
    files = {sku: tmp_path / f"{sku}-0.mp4" for sku in ("lighthouse-dawn", "lighthouse-storm", "lighthouse-night")}
    assert all(file.stat().st_size for file in files.values())
    assert emulator.control.state()["requests"]["submit"] == len(files)
    assert report_of(run) == {"videos": {sku: [file.as_uri()] for sku, file in files.items()}, "missing": {}}


@pytest.mark.filterwarnings("default")
def test_product_videos_reports_what_is_missing(dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A tenth of the products may fail: the others are landed, and the report has EvoLink's reason."""
    table = tmp_path / "products.csv"
    picture = FOLDER / "pictures" / "lighthouse.png"
    rows = "".join(f"P{number},{picture},Waves break. Number {number}.\n" for number in range(10))
    table.write_text(f"sku,image,prompt\n{rows}")
    emulator.control.inject("generation_failed", on="submit")
    conf = {"table": str(table), "destination": (tmp_path / "videos").as_uri()}
    run = dags["evolink_product_videos"].test(run_conf=conf)

    assert run.state == "success"
    report = report_of(run)
    assert len(report["videos"]) == 9
    [reason] = report["missing"].values()
    assert "content_policy_violation" in reason


@pytest.mark.filterwarnings("default")
def test_recover(
    dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another tool has made lands once, by the second run too, and nothing is paid."""
    made = set(submit(emulator, 2))
    recovered = tmp_path / "recovered"
    dag = dags["evolink_recover"]
    assert recovery(dag, recovered)["too_recent"] == 2

    monkeypatch.setattr("airflow_provider_evolink.operators.recover.time", SimpleNamespace(time=in_an_hour))
    first, second = recovery(dag, recovered), recovery(dag, recovered)
    assert {file["generation_id"] for file in first["landed"]} == made == {each.name for each in recovered.iterdir()}
    assert (second["landed"], second["skipped"]) == ([], 2)
    assert emulator.control.state()["requests"]["submit"] == 2


@pytest.mark.filterwarnings("default")
def test_recover_leaves_alone_what_an_example_has_landed(
    dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asset events of another DAG's task are enough to recognize what it has landed elsewhere."""
    run = dags["evolink_scheduled_content"].test(run_conf={"destination": (tmp_path / "landed").as_uri()})
    assert run.state == "success"
    [other] = submit(emulator)

    monkeypatch.setattr("airflow_provider_evolink.operators.recover.time", SimpleNamespace(time=in_an_hour))
    result = recovery(dags["evolink_recover"], tmp_path / "recovered")
    assert [file["generation_id"] for file in result["landed"]] == [other]
    assert (result["found"], result["skipped"]) == (4, 3)


def parse(folder: Path, dag_id: str) -> DAG:
    """Return a DAG of a folder."""
    from tests.loaded_dag import DagBag

    return DagBag(str(folder)).dags[dag_id]


def params_of(folder: Path, dag_id: str) -> dict[str, Any]:
    """Return the defaults of a DAG's params, as the dag-processor stores them."""
    return dict(parse(folder, dag_id).params.dump())


def in_an_hour() -> float:
    """Return the time in an hour, when the generations of now are old enough."""
    return time.time() + 3600


def recovery(dag: DAG, folder: Path) -> dict[str, Any]:
    """Run the recovering DAG, and return what its task has returned."""
    run = dag.test(run_conf={"destination": folder.as_uri()})
    assert run is not None
    assert run.state == "success"
    result: dict[str, Any] = run.get_task_instance("recover").xcom_pull(task_ids="recover")
    return result


def report_of(run: Any) -> Any:
    """Return what the task `report` of a run returned."""
    return run.get_task_instance("report").xcom_pull(task_ids="report")
