# SPDX-License-Identifier: Apache-2.0
"""Airflow's state stores of tasks and assets, which 3.3 introduced."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk.execution_time import context as airflow_context

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

# Retention of an entry that has to stay. Other stores than Airflow's let none expire.
NEVER_EXPIRE: Any = getattr(airflow_context, "NEVER_EXPIRE", None)


def has_state_stores() -> bool:
    """Return whether this Airflow keeps state for tasks and assets (3.3 and later)."""
    return hasattr(airflow_context, "TaskStateStoreAccessor")


def task_state_store(context: Context) -> Any | None:
    """Return the task state store, which outlives a task's tries; ``None`` where Airflow has none (before 3.3)."""
    return context.get("task_state_store")


def asset_state_store(context: Context, asset: Asset) -> Any | None:
    """Return an asset's state store, or ``None`` where Airflow has none.

    A task that does not declare the asset gets the store too, since Airflow serves it to every task: an operator that
    is executed by hand inside another task can't change what that task declares.
    """
    stores: Any = context.get("asset_state_store")
    with suppress(KeyError, TypeError):
        return stores[asset]
    if not has_state_stores():
        return None
    is_airflows = isinstance(task_state_store(context), airflow_context.TaskStateStoreAccessor)
    return airflow_context.AssetStateStoreAccessor(name=asset.name) if is_airflows else None
