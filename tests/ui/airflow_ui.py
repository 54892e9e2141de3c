# SPDX-License-Identifier: Apache-2.0
"""The app under Airflow's own middlewares and authentication, on a real server, and the rows of its database."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import httpx
import uvicorn
from airflow.api_fastapi import app as airflow_app

from airflow_provider_evolink.compat import map_index_of, task_state_store_model
from airflow_provider_evolink.links import addresses
from tests.ui.auth_manager import OTHER_DAG, OWN_DAG

RUN_ID = "manual__2026-11-27T20:00:00+00:00"


@dataclass(frozen=True)
class AirflowUi:
    """A running server.

    :param url: of Airflow, with its sub-path and a slash at its end.
    """

    url: str

    def client(self, user: str | None) -> httpx.Client:
        """Return a client that has a user's cookie, or none."""
        cookies = {} if user is None else {"_token": token(user)}
        return httpx.Client(base_url=self.url, cookies=cookies, trust_env=False, verify=False, timeout=30)


def token(user: str) -> str:
    """Return a user's token."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    generated: str = airflow_app.get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role="VIEWER"))
    return generated


@contextmanager
def serve(path: str) -> Iterator[AirflowUi]:
    """Run the app as Airflow would mount it, as long as the context lasts.

    :param path: of the base URL, such as ``/airflow``.
    """
    server = uvicorn.Server(uvicorn.Config(_app(path), host="127.0.0.1", port=0, ws="none", log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield AirflowUi(f"http://127.0.0.1:{port}{path}/")
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


def _app(path: str) -> Any:
    from airflow.api_fastapi.core_api.app import init_config, init_middlewares
    from fastapi import FastAPI

    from airflow_provider_evolink.ui.app import create_app

    app = FastAPI(root_path=path)
    airflow_app.init_auth_manager(app)
    app.mount(f"/{addresses.MOUNT}", create_app())
    init_middlewares(app)
    init_config(app)
    return app


def create_database() -> None:
    """Create Airflow's database with two DAGs, each with a run."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    DagBundlesManager().sync_bundles_to_db()
    with create_session() as session:
        for dag_id in (OWN_DAG, OTHER_DAG):
            dag = DagModel(dag_id=dag_id, bundle_name="dags-folder", is_stale=False)
            dag.max_active_tasks, dag.max_consecutive_failed_dag_runs, dag.has_task_concurrency_limits = 16, 0, False
            session.add(dag)
            session.add(DagRun(dag_id=dag_id, run_id=RUN_ID, run_type="manual", state="success"))


def remove_database_rows() -> None:
    """Remove the two DAGs and all that belongs to them."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    remove_task_instances()
    with create_session() as session:
        for model in (DagRun, DagModel):
            session.execute(delete(model).where(model.dag_id.in_((OWN_DAG, OTHER_DAG))))


def remove_task_instances() -> None:
    """Remove all task instances of the two runs, with their values."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(TaskInstance).where(TaskInstance.run_id == RUN_ID))


def add_task_instance(
    task_id: str = "land",
    map_index: int = -1,
    *,
    dag_id: str = OWN_DAG,
    state: str = "success",
    operator: str = "EvoLinkGenerateOperator",
    rendered: Mapping[str, Any] | None = None,
    ledger: Mapping[str, Any] | None = None,
    **xcoms: Any,
) -> None:
    """Add a task instance with what it has pushed, as a worker does.

    :param rendered: its rendered fields.
    :param ledger: the entry of its first try.
    :param xcoms: by key.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select

    place = {"dag_id": dag_id, "run_id": RUN_ID, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        instance_id = uuid.uuid4() if TaskInstance.id.type.python_type is uuid.UUID else str(uuid.uuid4())
        row = {
            **place,
            "id": instance_id,
            "state": state,
            "operator": operator,
            "pool": "default_pool",
            "pool_slots": 1,
        }
        session.execute(insert(TaskInstance).values(row))
        run = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == RUN_ID))
        if rendered is not None:
            owner = place if hasattr(RenderedTaskInstanceFields, "dag_id") else {"task_instance_id": instance_id}
            session.execute(insert(RenderedTaskInstanceFields).values({**owner, "rendered_fields": dict(rendered)}))
        if ledger is not None and (stored := task_state_store_model()) is not None:
            entry = {name: value for name, value in place.items() if name != "map_index"}
            entry |= {"dag_run_id": run, "key": "evolink", "value": json.dumps(ledger)}
            entry[map_index_of(stored).key] = map_index
            session.execute(insert(stored).values(entry))
        for key, value in xcoms.items():
            if "serialize" in signature(XComModel.set).parameters:
                XComModel.set(key=key, value=value, serialize=False, session=session, **place)
            else:  # before 3.2
                session.add(XComModel(**place, dag_run_id=run, key=key, value=value))
