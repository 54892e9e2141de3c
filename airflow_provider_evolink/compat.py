# SPDX-License-Identifier: Apache-2.0
"""Compatibility with the supported Airflow versions: whatever differs between them is imported from here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

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
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory
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

# What Airflow raises when a process has no such connection; not every version has the second.
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
    "DecoratedOperator",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferralError",
    "TaskDeferralTimeout",
    "asset_state_store",
    "conf",
    "current_context",
    "forward_kills",
    "get_async_connection",
    "is_parsing_dag_file",
    "map_index_of",
    "outer_task",
    "same_task_instance",
    "task_decorator_factory",
    "task_state_store",
]


class Killable(Protocol):
    """What a kill of the task around it has to reach: an operator, or a call of the hook."""

    def on_kill(self) -> None: ...


def outer_task(operator: object, context: Context) -> str | None:
    """Return the id of the task that executes an operator, or a call, by hand; ``None`` if it is the task itself."""
    task = context.get("task")
    if task is None or task is operator:
        return None
    if type(task) is type(operator) and task.task_id == getattr(operator, "task_id", None):
        return None
    return str(task.task_id)


@dataclass
class _OnKill:
    """Replacement for a task's ``on_kill`` that also kills the operators which the task executes by hand.

    :param own: the task's own ``on_kill``.
    :param running: the operators and calls being executed, by call.
    """

    own: Callable[[], None]
    running: dict[object, Killable] = field(default_factory=dict)
    was_killed: bool = False

    def __call__(self) -> None:
        self.was_killed = True
        for operator in tuple(self.running.values()):
            operator.on_kill()
        self.own()


@contextmanager
def forward_kills(operator: Killable, context: Context) -> Iterator[None]:
    """Call ``on_kill`` of an operator executed by hand when Airflow kills the task around it, or already did."""
    task: Any = context.get("task")
    # Only a real task gets on_kill from Airflow; a test may use a substitute.
    if outer_task(operator, context) is None or not isinstance(task, BaseOperator):
        yield
        return
    kills = task.on_kill if isinstance(task.on_kill, _OnKill) else _OnKill(task.on_kill)
    # Bypasses the operator's own __setattr__, which would take this for an argument changed by the DAG author.
    object.__setattr__(task, "on_kill", kills)
    call = object()  # several threads may execute the same operator at once
    kills.running[call] = operator
    try:
        if kills.was_killed:
            operator.on_kill()
        yield
    finally:
        del kills.running[call]


def current_context() -> Context | None:
    """Return the context of the task that this code runs in; ``None`` outside of a task."""
    from airflow.sdk import get_current_context

    try:
        return get_current_context()
    except RuntimeError:
        return None


def is_parsing_dag_file() -> bool:
    """Return whether Airflow is loading a DAG file, or this code is in the ``with`` block of a DAG."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    is_loading = getattr(DagContext, "current_autoregister_module_name", None) is not None
    return is_loading or DagContext.get_current() is not None


async def get_async_connection(conn_id: str, hook: type[BaseHook]) -> Connection:
    """Look up a connection as a hook does, without blocking the event loop.

    :raises AirflowNotFoundException: there is no connection with this id.
    """
    if hasattr(Connection, "aextra_dejson"):
        return await hook.aget_connection(conn_id)
    # Before 3.3.2 aget_connection masks the extra with a blocking call, which fails in a worker whose event loop has
    # another request to Airflow in flight. Airflow's own compat provider also uses a thread there, from 1.23 on.
    return await asyncio.to_thread(hook.get_connection, conn_id)


def task_state_store(context: Context) -> Any | None:
    """Return the task state store, which outlives a task's tries; ``None`` where Airflow has none (before 3.3)."""
    return context.get("task_state_store")


def asset_state_store(context: Context, asset: Asset) -> Any | None:
    """Return an asset's state store, or ``None`` where Airflow has none.

    A task that does not declare the asset gets the store too, since Airflow serves it to every task: an operator that
    is executed by hand inside another task can't change what that task declares.
    """
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor, TaskStateStoreAccessor

    stores: Any = context.get("asset_state_store")
    with suppress(KeyError, TypeError):
        return stores[asset]
    is_airflows = isinstance(task_state_store(context), TaskStateStoreAccessor)
    return AssetStateStoreAccessor(name=asset.name) if is_airflows else None


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
