# SPDX-License-Identifier: Apache-2.0
"""What Airflow does when a task ends on a worker, and leaves out if the task ends in the triggerer."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from airflow.sdk import BaseOperator


def has_xcom_backend() -> bool:
    """Return whether this Airflow keeps XComs elsewhere than in its database alone."""
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    return XCom is not BaseXCom


def has_post_execute(task: BaseOperator) -> bool:
    """Return whether a task, or its class, has something to call after its end."""
    is_overridden = getattr(task.post_execute, "__func__", None) is not BaseOperator.post_execute
    return is_overridden or getattr(task, "_post_execute_hook", None) is not None


def has_mapped_dependants(task: BaseOperator) -> bool:
    """Return whether other tasks of the DAG are mapped over what a task returns."""
    in_dag: bool = task.has_dag()  # type: ignore[no-untyped-call]
    return in_dag and next(task.iter_mapped_dependants(), None) is not None


def listener_manager() -> Any:
    """Return what has the listeners of this process, such as OpenLineage's."""
    module = "airflow.sdk.listener" if find_spec("airflow.sdk.listener") else "airflow.listeners.listener"  # before 3.2
    return import_module(module).get_listener_manager()


def has_success_listeners() -> bool:
    """Return whether a listener of this process is to be called when a task succeeds."""
    return bool(listener_manager().hook.on_task_instance_success.get_hookimpls())
