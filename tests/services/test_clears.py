# SPDX-License-Identifier: Apache-2.0
"""Every form of a clear on a real Airflow: the same result again, and no new charge.

On Airflow 3.4 a clear empties the state store that holds the ledger; on 3.3 it does not. Both with the values in
Airflow's database, and with Airflow's own object storage backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.airflow_stack import AirflowStack

DAGS = Path(__file__).parent / "clears"
CHARGES = {"plain": 1, "mapped": 2, "not_waiting": 1, "by_hand": 2}
RUN = "cleared"
ONE_TASK = {name: {"task_ids": ["pay"]} for name in CHARGES}


@pytest.fixture(scope="module")
def evolink() -> Iterator[EmulatorHandle]:
    """An emulator whose generations take a few seconds."""
    with running(Settings(clock=20.0)) as emulator:
        yield emulator


@pytest.fixture(scope="module", params=["in the database", "in objects"])
def airflow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, evolink: EmulatorHandle
) -> Iterator[AirflowStack]:
    """An Airflow on which every DAG has run once."""
    env = {"AIRFLOW_CONN_EVOLINK_DEFAULT": evolink.airflow_connection}
    if request.param == "in objects":
        backend = "airflow.providers.common.io.state_store.backend.StateStoreObjectStorageBackend"
        env["AIRFLOW__WORKERS__STATE_STORE_BACKEND"] = backend
        env["AIRFLOW__COMMON_IO__STATE_STORE_OBJECTSTORAGE_PATH"] = tmp_path_factory.mktemp("state").as_uri()
    evolink.control.reset()
    with AirflowStack(tmp_path_factory.mktemp("airflow"), DAGS, env) as stack:
        for name in CHARGES:
            stack.wait_for_dag(name)
            stack.api.unpause(name)
            stack.api.post(f"dags/{name}/dagRuns", {"dag_run_id": RUN, "logical_date": None})
        finish(stack)
        assert len(charged(evolink)) == sum(CHARGES.values())
        yield stack


def charged(evolink: EmulatorHandle) -> list[str]:
    """Return the ids of the generations that EvoLink has accepted."""
    return [generation["id"] for generation in evolink.control.state()["generations"]]


def finish(airflow: AirflowStack) -> None:
    """Wait for every run; all succeed."""
    assert [airflow.wait_for_run(name, RUN) for name in CHARGES] == ["success"] * len(CHARGES)


def results(airflow: AirflowStack) -> list[Any]:
    """Return what the paying tasks have returned."""
    returned = [airflow.api.xcom(name, RUN, "pay") for name in ("plain", "not_waiting", "by_hand")]
    returned += [airflow.api.xcom("mapped", RUN, "pay", map_index=index) for index in (0, 1)]
    return [record["generation_id"] if isinstance(record, dict) else record for record in returned]


def clear(airflow: AirflowStack, forms: dict[str, dict[str, Any]]) -> None:
    """Clear tasks, whether or not they have failed, and wait until they have run again."""
    for name, form in forms.items():
        body = {"dry_run": False, "dag_run_id": RUN, "only_failed": False, **form}
        airflow.api.post(f"dags/{name}/clearTaskInstances", body)
    finish(airflow)


def clear_runs(airflow: AirflowStack) -> None:
    """Clear whole runs."""
    for name in CHARGES:
        airflow.api.post(f"dags/{name}/dagRuns/{RUN}/clear", {"dry_run": False, "only_failed": False})
    finish(airflow)


@pytest.mark.timeout(600)
def test_no_clear_pays_again(airflow: AirflowStack, evolink: EmulatorHandle) -> None:
    """Clearing a task, its downstream tasks, a map index, the run, or all of them twice pays nothing."""
    paid, first = charged(evolink), results(airflow)

    clear(airflow, ONE_TASK)
    assert (charged(evolink), results(airflow)) == (paid, first)

    clear(airflow, {"plain": {"task_ids": ["pay"], "include_downstream": True}, "mapped": {"task_ids": [["pay", 1]]}})
    assert (charged(evolink), results(airflow)) == (paid, first)

    clear_runs(airflow)
    assert (charged(evolink), results(airflow)) == (paid, first)

    if keeps_on_demand(airflow):
        clear(airflow, {name: {**form, "keep_task_state": True} for name, form in ONE_TASK.items()})
        assert (charged(evolink), results(airflow)) == (paid, first)


@pytest.mark.timeout(600)
def test_a_clear_while_deferred_leaves_no_orphan(airflow: AirflowStack, evolink: EmulatorHandle) -> None:
    """A task that is cleared while it is deferred continues with the generation that is paid for."""
    paid = len(charged(evolink))
    evolink.control.set_speed(0.01)
    run = airflow.api.trigger("plain", {})
    defer(airflow, run)

    body = {"dry_run": False, "dag_run_id": run, "only_failed": False, "task_ids": ["pay"]}
    airflow.api.post("dags/plain/clearTaskInstances", body)
    defer(airflow, run, after=1)
    evolink.control.set_speed(200.0)

    assert airflow.wait_for_run("plain", run) == "success"
    assert len(charged(evolink)) == paid + 1
    evolink.control.set_speed(20.0)


def defer(airflow: AirflowStack, run: str, after: int = 0) -> None:
    """Wait until the paying task is deferred in an attempt later than ``after``."""

    def is_deferred() -> bool:
        tasks = airflow.api.task_instances("plain", run)
        return any(instance["state"] == "deferred" and instance["try_number"] > after for instance in tasks)

    airflow.wait_until("the deferral", is_deferred)


def keeps_on_demand(airflow: AirflowStack) -> bool:
    """Return whether this Airflow empties state stores on a clear unless the clear says to keep them."""
    specification: dict[str, Any] = httpx.get(f"{airflow.url}/openapi.json").json()
    body = specification["components"]["schemas"]["ClearTaskInstancesBody"]
    return "keep_task_state" in body["properties"]
