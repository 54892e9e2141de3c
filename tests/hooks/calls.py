# SPDX-License-Identifier: Apache-2.0
"""Python code in a task that calls the hook, and the tries of that task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.execution_time.context import set_current_context

from tests.operators.landings import LandingHarness
from tests.operators.submissions import TEXT

T = TypeVar("T")

LIGHTHOUSE = {"prompt": "A lighthouse", "duration": 3}
HARBOR = {"prompt": "A harbor", "duration": 3}
MODEL = TEXT


class PythonTask(LandingHarness):
    """A task instance that runs Python code, with the context that Airflow gives it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.task = BaseOperator(task_id="task", **kwargs)

    @property
    def context(self) -> Any:
        """The context of this try."""
        return {**super().context, "task": self.task}

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in this try."""
        with set_current_context(self.context):
            return function()

    def call_again(self, function: Callable[[], T]) -> T:
        """Run a function in the next try, which is another process in Airflow."""
        self.ti.try_number += 1
        self.ti.xcoms.clear()
        self.task = BaseOperator(task_id="task", outlets=self.task.outlets)
        return self.call(function)
