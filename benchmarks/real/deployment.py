# SPDX-License-Identifier: Apache-2.0
"""An Airflow on PostgreSQL, two EvoLinks, and thousands of deferred tasks in its database."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from benchmarks.real.rows import DAG_ID
from benchmarks.real.triggers import MESSAGES
from testkit.airflow_stack import AirflowStack
from testkit.postgres import running_postgres

ROOT = Path(__file__).parents[2]
FAN_OUT = "evolink_fan_out"
MODEL = "gemini-omni-flash-text-to-video"
POOL_SLOTS = 6
HELD_PACE = 1e-4  # a pace at which nothing completes
_CAPACITY = 4000


@dataclass
class Deployment:
    """The running services.

    :param stack: Airflow.
    :param held: the EvoLink where nothing completes: connection ``bench``.
    :param evolink: the EvoLink at real pace: connection ``evolink_default``.
    :param generations: ids of generations at ``held``.
    """

    stack: AirflowStack
    held: EmulatorHandle
    evolink: EmulatorHandle
    generations: list[str]

    @property
    def messages(self) -> Path:
        """File with the messages to the supervisor."""
        return self.stack.home / "messages"

    def defer(self, run_id: str, sleeping: int, generations: int) -> None:
        """Replace the deferred tasks in the database.

        :param run_id: of their DAG run.
        :param sleeping: number of tasks whose trigger only sleeps.
        :param generations: number of tasks that wait for a generation.
        """
        request = {"run_id": run_id, "sleeping": sleeping, "generations": self.generations[:generations]}
        file = self.stack.home / f"{run_id}.json"
        file.write_text(json.dumps(request))
        command = [sys.executable, "-m", "benchmarks.real.rows", str(file)]
        self.stack.processes.start("rows", command, self.stack.environment)
        self.stack.processes.finish("rows", timeout=180)


@contextmanager
def deployed(home: Path, count: int) -> Iterator[Deployment]:
    """Start everything.

    :param home: AIRFLOW_HOME.
    :param count: number of generations to submit to the EvoLink where nothing completes.
    """
    settings = Settings(credits=1e7)
    with (
        running(Settings(clock=HELD_PACE, credits=1e7)) as held,
        running(settings) as evolink,
        running_postgres(home) as (processes, database),
    ):
        env = {
            "PYTHONPATH": str(ROOT),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__TRIGGERER__CAPACITY": str(_CAPACITY),
            MESSAGES: str(home / "messages"),
        }
        with AirflowStack(home, _dags(home), env, processes=processes) as stack:
            for dag_id in (DAG_ID, FAN_OUT):
                stack.wait_for_dag(dag_id)
            _connect(stack, "bench", held)
            _connect(stack, "evolink_default", evolink)
            stack.api.post("pools", {"name": "evolink", "slots": POOL_SLOTS, "include_deferred": True})
            yield Deployment(stack, held, evolink, list(submitted(held, count)))


def _dags(home: Path) -> Path:
    folder = home.parent / "dags"
    folder.mkdir(parents=True)
    own = (ROOT / "benchmarks" / "real" / "dags").glob("*.py")
    for file in (*own, ROOT / "dags" / f"{FAN_OUT}.py"):
        (folder / file.name).write_text(file.read_text())
    return folder


def _connect(stack: AirflowStack, conn_id: str, evolink: EmulatorHandle) -> None:
    """Store the connection in the database, where each look-up is a message to the supervisor."""
    connection = {"connection_id": conn_id, "conn_type": "evolink", "host": evolink.url, "password": evolink.api_key}
    stack.api.post("connections", connection)


def submitted(evolink: EmulatorHandle, count: int) -> Iterator[str]:
    """Submit generations, and yield their ids."""
    with httpx.Client(base_url=evolink.url, trust_env=False) as client:
        for number in range(count):
            prepared = prepare(MODEL, {"prompt": f"Lighthouse number {number}", "duration": 3})
            headers = {"Authorization": f"Bearer {evolink.api_key}", "Content-Type": "application/json"}
            yield str(
                client.post(prepared.endpoint, content=prepared.body, headers=headers).raise_for_status().json()["id"]
            )
