# SPDX-License-Identifier: Apache-2.0
"""XComs that are not a task's return value."""

from __future__ import annotations

from typing import Any


def push_to_database(ti: Any, key: str, value: Any) -> None:
    """Push a small JSON value to XCom, into Airflow's database whatever XCom backend is configured."""
    from airflow.sdk.bases.xcom import BaseXCom

    BaseXCom.set(key, value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


async def push_xcom_from_trigger(task_instance: Any, key: str, value: Any) -> None:
    """Push an XCom of a deferred task, encoded as a worker would.

    What an event that ends a task brings along would be encoded twice: a task that pulls it would get JSON as text.

    :param task_instance: of the trigger.
    """
    from airflow.sdk.execution_time.xcom import XCom

    coordinates = {name: getattr(task_instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
    if hasattr(XCom, "aset"):
        await XCom.aset(key, value, **coordinates)
    else:  # before 3.3
        from asgiref.sync import sync_to_async

        await sync_to_async(XCom.set)(key, value, **coordinates)
