# SPDX-License-Identifier: Apache-2.0
"""The one room that knows Airflow's versions: what differs between them is imported from here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    BaseSensorOperator,
    Connection,
    RetryDecision,
    RetryPolicy,
    conf,
)
from airflow.sdk import exceptions as sdk_exceptions
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferralTimeout,
)
from airflow.sdk.execution_time.context import NEVER_EXPIRE

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

# How Airflow says that a process has no such connection; not every version knows the second.
CONNECTION_NOT_FOUND = (
    AirflowNotFoundException,
    getattr(sdk_exceptions, "AirflowSecretsBackendAccessDenied", AirflowNotFoundException),
)

__all__ = [
    "CONNECTION_NOT_FOUND",
    "NEVER_EXPIRE",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
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
    "forward_kills",
    "get_async_connection",
    "outer_task",
    "task_state_store",
]


def outer_task(operator: BaseOperator, context: Context) -> str | None:
    """Return the id of the task inside which an operator is executed by hand; ``None`` if it is the task itself."""
    task = context.get("task")
    if task is None or task is operator or (type(task) is type(operator) and task.task_id == operator.task_id):
        return None
    return str(task.task_id)


@dataclass
class _Kills:
    """Stands in for a task's ``on_kill``: tells those that the task executes by hand, now and from then on."""

    own: Callable[[], None]
    inside: dict[object, BaseOperator] = field(default_factory=dict)
    was_killed: bool = False

    def __call__(self) -> None:
        self.was_killed = True
        for operator in tuple(self.inside.values()):
            operator.on_kill()
        self.own()


@contextmanager
def forward_kills(operator: BaseOperator, context: Context) -> Iterator[None]:
    """Tell an operator that is executed by hand, too, when Airflow tells the task around it to stop, or has done so."""
    task: Any = context.get("task")
    # What is no task on a worker, a stand-in in a test say, can't be told to stop.
    if outer_task(operator, context) is None or not isinstance(task, BaseOperator):
        yield
        return
    kills = task.on_kill if isinstance(task.on_kill, _Kills) else _Kills(task.on_kill)
    # Past an operator's own __setattr__, which takes it for an argument that the author has changed.
    object.__setattr__(task, "on_kill", kills)
    call = object()  # one operator may be executed by several threads at a time
    kills.inside[call] = operator
    try:
        if kills.was_killed:
            operator.on_kill()
        yield
    finally:
        del kills.inside[call]


async def get_async_connection(conn_id: str, hook: type[BaseHook]) -> Connection:
    """
    Look a connection up, as a hook does, without blocking the event loop.

    :raises AirflowNotFoundException: there is none under this id.
    """
    if hasattr(Connection, "aextra_dejson"):
        return await hook.aget_connection(conn_id)
    # Before 3.3.2 aget_connection masks the extra with a blocking call, which fails in a worker whose event loop is
    # just asking Airflow something else. Airflow's own compat provider turns to a thread there, too, from 1.23 on.
    return await asyncio.to_thread(hook.get_connection, conn_id)


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
