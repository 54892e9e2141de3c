# SPDX-License-Identifier: Apache-2.0
"""Who may see what: Airflow authenticates nothing in an app that a plugin mounts, so every route depends on these.

Only the api-server imports this module: it imports FastAPI.
"""

from __future__ import annotations

import re
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from fastapi import Depends, HTTPException, Request, status

from airflow_provider_evolink.ui.task_values import is_dag

# What Airflow allows in the id of a DAG. In place of an id, "~" means all DAGs to Airflow's own check.
_DAG_ID = re.compile(r"[\w.-]{1,250}")
_reads_xcoms = requires_access_dag("GET", DagAccessEntity.XCOM)
_reads_task_instances = requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)


def _is_dag_id(dag_id: str) -> None:
    if not _DAG_ID.fullmatch(dag_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "No DAG has this id.")


def _exists(dag_id: str) -> None:
    if not is_dag(dag_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "No DAG has this id.")


def _may_read_tasks(request: Request, user: GetUserDep) -> bool:
    try:
        _reads_task_instances(request, user)
    except HTTPException:
        return False
    return True


LOGGED_IN = [Depends(get_user)]
# In this order: 401 without a login, 404 for what is no id, 403 without the permission, 404 for what is no DAG.
READS_RESULTS = [*LOGGED_IN, Depends(_is_dag_id), Depends(_reads_xcoms), Depends(_exists)]
MayReadTasks = Annotated[bool, Depends(_may_read_tasks)]
