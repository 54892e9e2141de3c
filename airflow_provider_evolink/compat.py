# SPDX-License-Identifier: Apache-2.0
"""The one room that knows Airflow's versions: what differs between them is imported from here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.sdk import (
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    BaseSensorOperator,
    RetryDecision,
    RetryPolicy,
    conf,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferralError, TaskDeferralTimeout
from airflow.sdk.execution_time.context import NEVER_EXPIRE

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context
    from airflow.sdk.definitions.mappedoperator import MappedOperator

__all__ = [
    "NEVER_EXPIRE",
    "AirflowFailException",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferralError",
    "TaskDeferralTimeout",
    "asset_state_store",
    "conf",
    "get_async_connection",
    "runs_inside",
    "state_of_task",
    "task_state_store",
]


async def state_of_task(ti: Any) -> str | None:
    """Ask Airflow from within a trigger which state a task instance is in; ``None`` if it is about to run again."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    ask = sync_to_async(RuntimeTaskInstance.get_task_states)
    states = await ask(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    return next(iter(states.get(ti.run_id, {}).values()), None)


def runs_inside(operator: BaseOperator, context: Context) -> BaseOperator | MappedOperator | None:
    """Return the task inside which an operator is executed by hand; ``None`` if it is the task itself."""
    task = context.get("task")
    if task is None or task is operator or (type(task) is type(operator) and task.task_id == operator.task_id):
        return None
    return task


def task_state_store(context: Context) -> Any | None:
    """Return the store that outlives a task's tries, or ``None`` where Airflow has none (before 3.3)."""
    return context.get("task_state_store")


def asset_state_store(context: Context, asset: Asset) -> Any | None:
    """
    Return an asset's state store, or ``None`` where Airflow has none.

    A task that does not name the asset gets it too, since Airflow serves it to every task: an operator that is executed
    by hand inside another task can't change what that one names.
    """
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor, TaskStateStoreAccessor

    stores: Any = context.get("asset_state_store")
    with suppress(KeyError, TypeError):
        return stores[asset]
    is_real = isinstance(task_state_store(context), TaskStateStoreAccessor)
    return AssetStateStoreAccessor(name=asset.name) if is_real else None
