# SPDX-License-Identifier: Apache-2.0
"""Puts deferred task instances into Airflow's database, as if as many workers had each deferred one.

Called as ``python -m benchmarks.real.rows FILE``, in the environment of the Airflow in question. The file holds JSON: a
run id, ids of generations to wait for, and a number of triggers that sleep. Rows of earlier calls are removed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import delete

from benchmarks.real.triggers import Sleeping, Waiting

DAG_ID, TASK_ID = "bench_wait", "wait"
POLL_SECONDS = 10.0
_DAY = 86_400.0


def main() -> None:
    """Replace the rows."""
    request = json.loads(Path(sys.argv[1]).read_text())
    with create_session() as session:
        session.execute(delete(TaskInstance).where(TaskInstance.dag_id == DAG_ID))
        session.execute(delete(DagRun).where(DagRun.dag_id == DAG_ID))
        session.execute(delete(Trigger))
        session.flush()
        _insert(session, request["run_id"], list(_triggers(request)))


def _triggers(request: dict[str, Any]) -> Iterator[Sleeping | Waiting]:
    now = time.time()
    for _ in range(request["sleeping"]):
        yield Sleeping()  # type: ignore[no-untyped-call]
    for generation_id in request["generations"]:
        yield Waiting("bench", generation_id, submitted_at=now, deadline=now + _DAY, poll_interval=POLL_SECONDS)


def _insert(session: Any, run_id: str, triggers: list[Sleeping | Waiting]) -> None:
    serialized, now = SerializedDagModel.get(DAG_ID, session=session), datetime.now(UTC)
    version = DagVersion.get_latest_version(DAG_ID, session=session)
    if serialized is None or version is None:
        raise LookupError(f"Airflow has not parsed the DAG {DAG_ID}")
    run = DagRun(
        dag_id=DAG_ID,
        run_id=run_id,
        run_type=DagRunType.MANUAL,
        run_after=now,
        start_date=now,
        state=DagRunState.RUNNING,
        triggered_by=DagRunTriggeredByType.TEST,
    )
    run.created_dag_version_id = version.id
    session.add(run)
    rows = [Trigger.from_object(trigger) for trigger in triggers]
    session.add_all(rows)
    session.flush()
    task = serialized.dag.get_task(TASK_ID)
    for number, row in enumerate(rows):
        instance = TaskInstance(task, version.id, run_id, TaskInstanceState.DEFERRED, number)
        instance.trigger_id, instance.try_number, instance.start_date = row.id, 1, now
        instance.next_method, instance.next_kwargs = "execute_complete", {}
        session.add(instance)


if __name__ == "__main__":
    main()
