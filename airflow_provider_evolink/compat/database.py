# SPDX-License-Identifier: Apache-2.0
"""Airflow's metadata database, whose tables and columns change between versions."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


def map_index_of(model: Any) -> Any:
    """Return the map index of a row of Airflow's database, or that column of its table; 3.4 has renamed some."""
    return getattr(model, "map_index" if hasattr(model, "map_index") else "region_index")


def same_task_instance(rendered: Any, task_instance: Any) -> Any:
    """Return the condition that joins a task instance's rendered fields; 3.4 names them by the instance's id."""
    if hasattr(rendered, "task_instance_id"):
        return rendered.task_instance_id == task_instance.id
    from sqlalchemy import and_

    names = ("dag_id", "task_id", "run_id", "map_index")
    return and_(*(getattr(rendered, name) == getattr(task_instance, name) for name in names))


def task_state_store_model() -> Any | None:
    """Return the table of Airflow's task state stores; ``None`` where there is none (before 3.3)."""
    if find_spec("airflow.models.task_state_store") is None:
        return None
    from airflow.models.task_state_store import TaskStateStoreModel

    return TaskStateStoreModel
