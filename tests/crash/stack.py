# SPDX-License-Identifier: Apache-2.0
"""An Airflow that detects crashes within seconds, and whose dead processes can be restarted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_provider_evolink.compat import has_state_stores
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.airflow_stack import COMPONENTS, AirflowStack
from testkit.processes import ProcessDiedError, Processes
from testkit.s3 import S3
from tests.crash.run import S3_CONN
from tests.ledgers import FOLDERS

ROOT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "dags"
DAG_IDS = ("crash", "crash_one_task", "crash_batch")
# A short timeout, so that a run whose response is lost continues soon.
SUBMIT_TIMEOUT = 8
SETTINGS = {
    "PYTHONPATH": str(ROOT),
    "AIRFLOW__CORE__PARALLELISM": "16",
    "AIRFLOW__EVOLINK__POSTERS": "False",  # the files that have landed are counted
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
}


def ledgers_in(folder: Path) -> dict[str, str]:
    """Return the setting that keeps ledgers in a folder, as users of an Airflow without a store for them have it."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"AIRFLOW__EVOLINK__LEDGER_PATH": f"file://{folder}"}


class CrashStack(AirflowStack):
    """The Airflow stack.

    :param home: its AIRFLOW_HOME.
    :param env: connections, and the database URL unless it is SQLite.
    :param triggerers: number of triggerers.
    :param processes: services that it needs.
    :param dag_ids: of the DAGs to run.
    :param dags: their folder.
    """

    def __init__(
        self,
        home: Path,
        env: Mapping[str, str],
        triggerers: int = 1,
        processes: Processes | None = None,
        dag_ids: Sequence[str] = DAG_IDS,
        dags: Path = DAGS,
    ) -> None:
        ledgers = home.absolute() / "ledgers"
        settings = SETTINGS if has_state_stores() else SETTINGS | ledgers_in(ledgers)
        super().__init__(home, dags, settings | dict(env), processes=processes)
        if settings is not SETTINGS:
            FOLDERS[self.api] = ledgers
        self._dag_ids = dag_ids
        self.triggerers = ["triggerer", *(f"triggerer-{number}" for number in range(2, triggerers + 1))]

    def start(self, component: str) -> None:
        """Start a component; further triggerers have a number after their name."""
        command = COMPONENTS[component if component in COMPONENTS else component.rpartition("-")[0]]
        self.processes.start(component, [sys.executable, "-m", "airflow", *command], self.environment)

    def restart_dead(self) -> None:
        """Restart what has died, as systemd or Kubernetes would."""
        while True:
            try:
                self.processes.check()
            except ProcessDiedError as dead:
                self.processes.crash(dead.name)
                self.start(dead.name)
            else:
                return

    def _bring_up(self) -> None:
        super()._bring_up()
        for name in self.triggerers[1:]:
            self.start(name)
        self.wait_until("all triggerers", lambda: self._living_triggerers() == len(self.triggerers))
        for dag_id in self._dag_ids:
            self.wait_for_dag(dag_id)
            self.api.unpause(dag_id)

    def _living_triggerers(self) -> int:
        return int(self.api.get("jobs", job_type="TriggererJob", is_alive=True)["total_entries"])


@contextmanager
def evolinks(count: int) -> Iterator[dict[str, EmulatorHandle]]:
    """Run emulators at real pace, whose clocks are advanced by hand; by connection id."""
    with ExitStack() as exits:
        yield {f"evolink_{number}": exits.enter_context(running(Settings())) for number in range(count)}


def connections(handles: Mapping[str, EmulatorHandle], s3: S3) -> dict[str, str]:
    """Return environment variables with the connections to each EvoLink and to the S3 server."""
    extra = {"submit_timeout": SUBMIT_TIMEOUT}
    return {f"AIRFLOW_CONN_{S3_CONN.upper()}": s3.connection} | {
        f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(json.loads(handle.airflow_connection) | {"extra": extra})
        for conn_id, handle in handles.items()
    }
