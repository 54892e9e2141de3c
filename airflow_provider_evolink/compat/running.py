# SPDX-License-Identifier: Apache-2.0
"""The task that this code runs in: its context, and the kill that has to reach what it executes by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class Killable(Protocol):
    """What a kill of the task around it has to reach: an operator, or a call of the hook."""

    def on_kill(self) -> None:
        """End what runs."""


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
