# SPDX-License-Identifier: Apache-2.0
"""A team on a real Airflow: a connection, a triggerer and a queue of its own, and results in an XCom backend.

A triggerer may not read a team's connections, so everything that waits has to go on where it can.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.airflow_stack import AirflowStack

pytestmark = pytest.mark.timeout(400)

DAG, TEAM, QUEUE = "teams", "studio", "videos"
DAGS = Path(__file__).parent / "teams"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
XCOM_BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
WAITING = ("sensed", "mapped", "batch")
TAKES_OVER = "the worker instead"


@dataclass
class Run:
    """What a run has left.

    :param results: what the API has as the return value of each task, by task id and map index.
    """

    state: str
    folder: Path
    evolink: EmulatorHandle
    results: dict[tuple[str, int], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the DAG of the team."""
    folder = tmp_path_factory.mktemp("teams")
    (folder / "xcom").mkdir()
    with running(Settings(clock=0.1)) as evolink:
        stack = AirflowStack(
            folder / "airflow",
            DAGS,
            environment(folder),
            arguments={"triggerer": ["--team-name", TEAM, "--queues", QUEUE]},
            setup=[["teams", "create", TEAM]],
        )
        with stack:
            connection = json.loads(evolink.airflow_connection)
            stack.api.add_connection("evolink_default", {**connection, "team_name": TEAM})
            stack.wait_for_dag(DAG)
            stack.api.unpause(DAG)
            run_id = stack.api.trigger(DAG, {"folder": (folder / "landed").as_uri()})
            stack.wait_until("workers to take over", lambda: have_taken_over(stack, run_id), timeout=150)
            evolink.control.advance(1000)
            state = stack.wait_for_run(DAG, run_id)
            tasks = [(task["task_id"], task["map_index"]) for task in stack.api.task_instances(DAG, run_id)]
            results = {(name, index): stack.api.xcom(DAG, run_id, name, map_index=index) for name, index in tasks}
            yield Run(state, folder, evolink, results)


def have_taken_over(stack: AirflowStack, run_id: str) -> bool:
    """Return whether every task that waits is running, and its log says that its worker waits."""
    tasks = stack.api.task_instances(DAG, run_id)
    indexes = {task["task_id"]: task["map_index"] for task in tasks if task["state"] == "running"}
    return set(WAITING) <= set(indexes) and all(
        TAKES_OVER in stack.api.log(DAG, run_id, name, map_index=indexes[name]) for name in WAITING
    )


def environment(folder: Path) -> dict[str, str]:
    """Return the settings of an Airflow with a team, queues of triggers, and XComs in a folder."""
    bundle = {"name": "studio", "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(DAGS)}, "team_name": TEAM}
    return {
        "AIRFLOW__CORE__MULTI_TEAM": "True",
        "AIRFLOW__CORE__XCOM_BACKEND": XCOM_BACKEND,
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": (folder / "xcom").as_uri(),
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__EVOLINK__POLL_INTERVAL": "1",
        "AIRFLOW__TRIGGERER__QUEUES_ENABLED": "True",
    }


def test_workers_take_over(run: Run) -> None:
    """Workers wait for what the triggerer may not poll, as the fixture has found; each is paid for once."""
    assert run.state == "success"
    assert run.evolink.control.state()["requests"]["submit"] == 3


def test_results_go_through_the_xcom_backend(run: Run) -> None:
    """With every value in object storage, a mapped transfer gets its record, and everything lands."""
    addresses = run.results.values()
    assert len(addresses) == 5
    assert all(str(address).startswith((run.folder / "xcom").as_uri()) for address in addresses)
    landed = [path.parent.parent.name for path in (run.folder / "landed").rglob("*.mp4")]
    assert sorted(landed) == ["batch", "landed"]
