# SPDX-License-Identifier: Apache-2.0
"""A demo session: everything it needs running, and one video generated with it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import evolink
from demo.errors import DemoError
from demo.evolink import EvoLink, Progress
from demo.lock import exclusive
from demo.screen import Screen, Step
from testkit.airflow_stack import FINAL_STATES, AirflowStack
from testkit.processes import Processes
from testkit.webhook import WebhookReceiver

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".demo"
DAG_ID = "evolink_image_to_video"
RUN_TIMEOUT = 45 * 60.0
_LOG_LINES = 20


@dataclass(frozen=True)
class Session:
    """The running services.

    :param stack: Airflow.
    :param evolink: what it generates with.
    :param webhook: what it publishes to.
    """

    stack: AirflowStack
    evolink: EvoLink
    webhook: WebhookReceiver


@dataclass(frozen=True)
class Video:
    """A generated video.

    :param run_id: id of the DAG run.
    :param landed: what the transfer returned.
    :param record: what the operator returned.
    :param seconds: duration of the DAG run.
    """

    run_id: str
    landed: dict[str, Any]
    record: dict[str, Any]
    seconds: float


@contextmanager
def running(screen: Screen, key: str | None) -> Iterator[Session]:
    """Start everything, and stop it with the context.

    :param key: API key of the real EvoLink; None for the emulator.
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
            stack = AirflowStack(home, PROJECT / "dags", _variables(used, webhook), step.note, processes)
            exits.enter_context(stack)
            step.note("waiting for the DAG")
            stack.wait_for_dag(DAG_ID)
            stack.api.unpause(DAG_ID)
            step.note(stack.url)
        yield Session(stack, used, webhook)


def generate_video(session: Session, screen: Screen) -> Video:
    """Run the DAG and show its progress.

    :raises DemoError: a task failed; the text ends with the last lines of its log.
    """
    api = session.stack.api
    started = time.monotonic()
    run_id = api.trigger(DAG_ID, {"destination": (FOLDER / "landed").as_uri()})
    for task_id, title in (("generate", "Generation"), ("land", "Landing"), ("publish", "Publication")):
        with screen.step(title) as step:
            _follow(session, run_id, task_id, step)
    session.stack.wait_for_run(DAG_ID, run_id)
    return Video(
        run_id=run_id,
        landed=api.xcom(DAG_ID, run_id, "land")[0],
        record=api.xcom(DAG_ID, run_id, "generate"),
        seconds=time.monotonic() - started,
    )


def _variables(used: EvoLink, webhook: WebhookReceiver) -> dict[str, str]:
    """Return Airflow's connections, and a poll interval of one second for accelerated generations."""
    polling = {"AIRFLOW__EVOLINK__POLL_INTERVAL": "1"} if used.is_emulated else {}
    return polling | {
        "AIRFLOW_CONN_EVOLINK_DEFAULT": used.connection,
        "AIRFLOW_CONN_PUBLISH_WEBHOOK": webhook.connection,
    }


def _follow(session: Session, run_id: str, task_id: str, step: Step) -> None:
    """Show a task's state, and the progress of its generation, until the task has succeeded."""
    api = session.stack.api

    def has_succeeded() -> bool:
        state = api.task_states(DAG_ID, run_id)[task_id]
        if state == "upstream_failed" or (state in FINAL_STATES and state != "success"):
            last_lines = api.log(DAG_ID, run_id, task_id).splitlines()[-_LOG_LINES:]
            raise DemoError(f"Task {task_id} failed. Last lines of its log:\n" + "\n".join(last_lines))
        is_waiting = task_id == "generate" and state in {"running", "deferred"}
        _show(step, state, _progress(session, run_id) if is_waiting else None)
        return state == "success"

    session.stack.wait_until(f"task {task_id}", has_succeeded, RUN_TIMEOUT)


def _progress(session: Session, run_id: str) -> Progress | None:
    """Return the progress of the generation; None before the task has published the generation's id."""
    generation_id = session.stack.api.xcom(DAG_ID, run_id, "generate", key="generation_id")
    return session.evolink.progress(generation_id) if generation_id else None


def _show(step: Step, state: str | None, progress: Progress | None) -> None:
    if progress is None:
        step.note(state or "waiting")
    else:
        step.percent(progress.percent)
        step.note(f"{state}: {progress.status}, {progress.percent:.0f} %")
