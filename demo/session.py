# SPDX-License-Identifier: Apache-2.0
"""A demo session: everything it needs running, and one run of an example DAG."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo import evolink
from demo.errors import DemoError
from demo.evolink import EvoLink
from demo.lock import exclusive
from demo.screen import Screen
from testkit.airflow_stack import FINAL_STATES, AirflowStack
from testkit.processes import Processes
from testkit.webhook import WebhookReceiver

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".demo"
LANDED = FOLDER / "landed"
RUN_TIMEOUT = 45 * 60.0
POOL_SLOTS = 8
POOL_DESCRIPTION = "Limits how many generations are in progress at EvoLink: tasks that wait for theirs count, too."
_LOG_LINES = 20


@dataclass(frozen=True)
class Session:
    """The running services.

    :param stack: Airflow.
    :param evolink: what it generates with.
    :param webhook: what it publishes to.
    :param dag_id: the example DAG that is ready to run.
    """

    stack: AirflowStack
    evolink: EvoLink
    webhook: WebhookReceiver
    dag_id: str

    def trigger(self, conf: dict[str, Any]) -> str:
        """Start a run of the DAG, and return its id."""
        return self.stack.api.trigger(self.dag_id, conf)

    def xcom(self, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom value of a task; None if it is not there (yet)."""
        return self.stack.api.xcom(self.dag_id, run_id, task_id, key)

    def follow(self, run_id: str, task_id: str, show: Callable[[str], object]) -> None:
        """Wait until a task has succeeded.

        :param show: called with the task's state, again and again.
        :raises DemoError: the task failed; the text ends with the last lines of its log.
        """
        api = self.stack.api

        def has_succeeded() -> bool:
            state = api.task_states(self.dag_id, run_id)[task_id]
            if state == "upstream_failed" or (state in FINAL_STATES and state != "success"):
                last_lines = api.log(self.dag_id, run_id, task_id).splitlines()[-_LOG_LINES:]
                raise DemoError(f"Task {task_id} failed. Last lines of its log:\n" + "\n".join(last_lines))
            show(state or "waiting")
            return state == "success"

        self.stack.wait_until(f"task {task_id}", has_succeeded, RUN_TIMEOUT)


@contextmanager
def running(screen: Screen, key: str | None, dag_id: str) -> Iterator[Session]:
    """Start everything, and stop it with the context.

    :param key: API key of the real EvoLink; None for the emulator.
    :param dag_id: the example DAG to wait for.
    :raises NotStartedError: another demo is running in this folder.
    :raises ServiceError: a service did not start.
    """
    home = FOLDER / "airflow"
    with (
        exclusive(FOLDER),
        Processes(home / "components") as processes,
        WebhookReceiver() as webhook,
        ExitStack() as exits,
    ):
        shutil.rmtree(home, ignore_errors=True)
        with screen.step("EvoLink") as step:
            source = evolink.real(key) if key else evolink.emulated(processes, FOLDER / "emulator")
            used = exits.enter_context(source)
            step.note(used.name)
        with screen.step("Airflow") as step:
            stack = AirflowStack(home, PROJECT / "dags", _settings(used), step.note, processes)
            exits.enter_context(stack)
            _store(stack, used, webhook)
            step.note("waiting for the DAG")
            stack.wait_for_dag(dag_id)
            stack.api.unpause(dag_id)
            step.note(stack.url)
        yield Session(stack, used, webhook, dag_id)


def follow_task(session: Session, screen: Screen, run_id: str, task_id: str, title: str) -> None:
    """Show a task's state until it has succeeded.

    :raises DemoError: it failed.
    """
    with screen.step(title) as step:
        session.follow(run_id, task_id, step.note)


def _settings(used: EvoLink) -> dict[str, str]:
    """Return a poll interval of one second for accelerated generations, and the folders whose files the UI shows."""
    roots = [LANDED, FOLDER / "batch", Path(tempfile.gettempdir()) / "evolink"]  # the last is the examples' own
    interval = {"AIRFLOW__EVOLINK__POLL_INTERVAL": "1"} if used.is_emulated else {}
    return interval | {"AIRFLOW__EVOLINK__GALLERY_ROOTS": ", ".join(root.as_uri() for root in roots)}


def _store(stack: AirflowStack, used: EvoLink, webhook: WebhookReceiver) -> None:
    """Store what the example DAGs need, where a user finds it in the UI: two connections and a pool."""
    evolink_default = json.loads(used.connection)
    # Airflow 3.3.2 refuses to test a stored connection that has no port.
    port = urlsplit(evolink_default["host"]).port or 443
    stack.api.add_connection("evolink_default", evolink_default | {"port": port})
    stack.api.add_connection("publish_webhook", json.loads(webhook.connection))
    stack.api.add_pool("evolink", POOL_SLOTS, POOL_DESCRIPTION)
