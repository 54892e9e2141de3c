# SPDX-License-Identifier: Apache-2.0
"""The one room that knows Airflow's versions: what differs between them is imported from here."""

from __future__ import annotations

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
    from airflow.sdk import Context

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
    "conf",
    "get_async_connection",
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


def task_state_store(context: Context) -> Any | None:
    """Return the store that outlives a task's tries, or ``None`` where Airflow has none (before 3.3)."""
    return context.get("task_state_store")
