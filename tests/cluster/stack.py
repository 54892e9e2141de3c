# SPDX-License-Identifier: Apache-2.0
"""A distributed Airflow on one machine: two schedulers, two triggerers, two Celery workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testkit.postgres import running_postgres
from testkit.valkey import start_valkey
from tests.chaos.experiment import DAG
from tests.crash.stack import CrashStack

SCHEDULERS = ("scheduler", "scheduler-2")
TRIGGERERS = ("triggerer", "triggerer-2")
WORKERS = ("worker-1", "worker-2")
CONCURRENCY = 6
# Seconds without a heartbeat until a component counts as dead. Airflow's defaults are 30 for schedulers and triggerers,
# and 300 for workers, which is too long for this run.
DEAD_AFTER = {"scheduler": 30, "triggerer": 30, "worker": 60}
SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__PARALLELISM": "64",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(CONCURRENCY),
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(DEAD_AFTER["scheduler"]),
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(DEAD_AFTER["worker"]),
    # For a message that a killed worker had received and not started: Celery redelivers it only after a day.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "20",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(DEAD_AFTER["triggerer"]),
}


class ClusterStack(CrashStack):
    """The cluster. Killed components are not restarted by themselves: the others have to take over."""

    def start(self, component: str) -> None:
        """Start a component."""
        if component not in WORKERS:
            super().start(component)
            return
        pid = self.home / f"{component}.pid"
        pid.unlink(missing_ok=True)  # a killed worker leaves it behind
        options = ["--skip-serve-logs", "--without-mingle", "--without-gossip", "-H", f"{component}@%h"]
        command = [sys.executable, "-m", "airflow", "celery", "worker", *options, "--pid", str(pid)]
        self.processes.start(component, command, self.environment)

    def _bring_up(self) -> None:
        super()._bring_up()
        for name in (*SCHEDULERS[1:], *WORKERS):
            self.start(name)
        self.wait_until("all schedulers", lambda: self._living("SchedulerJob") == len(SCHEDULERS), timeout=120)
        for name in WORKERS:
            log = self.processes.log(name)
            self.wait_until(name, lambda log=log: " ready." in log.read_text(errors="replace"), timeout=120)

    def _living(self, kind: str) -> int:
        return int(self.api.get("jobs", job_type=kind, is_alive=True)["total_entries"])


@contextmanager
def running_cluster(home: Path, dags: Path, env: Mapping[str, str]) -> Iterator[tuple[ClusterStack, str]]:
    """Run a cluster with its database and its broker; yield it with the URL of the database.

    :param home: its AIRFLOW_HOME.
    :param dags: folder of the chaos DAG.
    :param env: connections, and settings in addition to ``SETTINGS``.
    """
    with running_postgres(home) as (processes, database):
        home.mkdir(parents=True, exist_ok=True)
        celery = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CELERY__BROKER_URL": start_valkey(processes, home),
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        }
        stack = ClusterStack(home, SETTINGS | celery | dict(env), len(TRIGGERERS), processes, dag_ids=[DAG], dags=dags)
        with stack:
            yield stack, database
