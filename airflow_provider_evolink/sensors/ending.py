# SPDX-License-Identifier: Apache-2.0
"""Refuse to end a task in the triggerer where Airflow would leave something out that it does on a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.compat import (
    BaseOperator,
    has_mapped_dependants,
    has_post_execute,
    has_success_listeners,
    has_xcom_backend,
)


def check_declared(task: BaseOperator, *, deferrable: bool) -> None:
    """Refuse what the DAG's author has declared.

    :param task: to end in the triggerer.
    :param deferrable: whether it waits there at all.
    :raises InvalidInputError: the task needs a worker at its end.
    """
    _refuse_first(_declared(task, deferrable=deferrable))


def check_surroundings(task: BaseOperator, task_instance: Any) -> None:
    """Refuse what shows only when the task runs; nothing has been sent then.

    :param task: to end in the triggerer.
    :param task_instance: of this try.
    :raises InvalidInputError: this Airflow, or a task downstream, needs a worker at its end.
    """
    _refuse_first(_surroundings(task, task_instance))


def _declared(task: BaseOperator, *, deferrable: bool) -> Iterator[str]:
    if not deferrable:
        yield "with deferrable=False, which waits on the worker"
    if task.outlets:
        yield "for a task with outlets, since only a worker creates their asset events"
    if task.on_success_callback:
        yield "for a task with an on_success_callback, which only a worker calls"
    if has_post_execute(task):
        yield "for a task with a post_execute, which only a worker calls"
    if task.multiple_outputs:
        yield "for a task with multiple_outputs, which only a worker pushes"


def _surroundings(task: BaseOperator, task_instance: Any) -> Iterator[str]:
    if has_xcom_backend():
        yield "where [core] xcom_backend is set, since a backend is written to by workers"
    if has_success_listeners():
        yield "where a listener such as OpenLineage's is active, which only a worker calls"
    if getattr(task, "returns_dag_result", False):
        yield "for a task whose output is the result of its DAG, which only a worker marks"
    if not task_instance.is_mapped and has_mapped_dependants(task):
        yield "where another task is mapped over the record's fields, which only a worker counts"


def _refuse_first(reasons: Iterator[str]) -> None:
    for reason in reasons:
        raise InvalidInputError("end_in_triggerer", True, f"False {reason}")
