# SPDX-License-Identifier: Apache-2.0
"""Sensors that end in the triggerer of a real Airflow: no second worker, and the same record as on a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.airflow_stack import AirflowStack
from tests.services.cases import submit

DAG_ID = "collecting"
XCOMS = ("generation_id", "result_link", "_link_EvoLinkResultLink")
_WORKER_STARTED = "Worker startup parse complete"
_HELD, _FAST = 1e-3, 100.0


@pytest.fixture(scope="module")
def evolink() -> Iterator[EmulatorHandle]:
    """An emulator that completes nothing until its clock is set."""
    with running(Settings(clock=_HELD)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, evolink: EmulatorHandle) -> Iterator[AirflowStack]:
    """An Airflow with the DAG of the sensors."""
    env = {"AIRFLOW_CONN_EVOLINK_DEFAULT": evolink.airflow_connection}
    with AirflowStack(tmp_path_factory.mktemp("airflow"), Path(__file__).parent / DAG_ID, env) as stack:
        stack.wait_for_dag(DAG_ID)
        stack.api.unpause(DAG_ID)
        yield stack


def logs(airflow: AirflowStack, run: str) -> dict[tuple[str, int], str]:
    """Return the log of each task instance."""
    return {
        (each["task_id"], each["map_index"]): airflow.api.log(DAG_ID, run, each["task_id"], map_index=each["map_index"])
        for each in airflow.api.task_instances(DAG_ID, run)
    }


@pytest.mark.timeout(300)
def test_no_second_worker_starts(airflow: AirflowStack, evolink: EmulatorHandle) -> None:
    """Success ends in the triggerer and leaves what a worker does; a failure ends on a worker, with its text."""
    ids = [submit(evolink), submit(evolink)]
    evolink.control.inject("generation_failed", on="submit")
    ids.append(submit(evolink))
    run = airflow.api.trigger(DAG_ID, {"ids": ids})

    def all_wait() -> bool:
        return [each["state"] for each in airflow.api.task_instances(DAG_ID, run)].count("deferred") == 4

    airflow.wait_until("the deferrals", all_wait)
    evolink.control.set_speed(_FAST)
    airflow.wait_for_run(DAG_ID, run)

    found = logs(airflow, run)
    starts = {instance: log.count(_WORKER_STARTED) for instance, log in found.items()}
    assert starts == {
        ("on_worker", -1): 2,
        ("failing", -1): 2,
        ("in_triggerer", 0): 1,
        ("in_triggerer", 1): 1,
        ("take", 0): 1,
        ("take", 1): 1,
    }
    assert airflow.api.task_states(DAG_ID, run)["failing"] == "failed"
    assert "content_policy_violation" in found["failing", -1]
    assert "A retry finds the same" in found["failing", -1]
    for fact in (f"{ids[0]} is completed: 1 result", "Cost: "):
        assert fact in found["in_triggerer", 0]
    assert [airflow.api.xcom(DAG_ID, run, "take", map_index=index) for index in (0, 1)] == ids[:2]
    assert pushed(airflow, run, "in_triggerer", 0) == pushed(airflow, run, "on_worker", -1)
    assert not [file for file in (airflow.home / "logs").rglob("*.log") if "/media/" in file.read_text()]


def pushed(airflow: AirflowStack, run: str, task_id: str, map_index: int) -> dict[str, Any]:
    """Return what a sensor has left in XCom, without the moment at which it was read."""
    record = dict(airflow.api.xcom(DAG_ID, run, task_id, map_index=map_index))
    assert record.pop("finished_at")
    return record | {key: airflow.api.xcom(DAG_ID, run, task_id, key=key, map_index=map_index) for key in XCOMS}
