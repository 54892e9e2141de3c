# SPDX-License-Identifier: Apache-2.0
"""Everything a demo needs, started; and one video, made with it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import evolink
from demo.errors import DemoError
from demo.evolink import EvoLink
from demo.lock import only_one
from demo.processes import Processes
from demo.receiver import Receiver
from demo.screen import Screen, Step
from demo.stack import FINAL_STATES, AirflowStack

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".demo"
DAG_ID = "evolink_image_to_video"
RUN_TIMEOUT = 45 * 60.0
_NEWS = re.compile(r"^Generation \S+: (.*?)\.?$", re.MULTILINE)
_PERCENT = re.compile(r"(\d+) %")


@dataclass(frozen=True)
class Session:
    """What is running.

    :param stack: Airflow.
    :param evolink: what it generates with.
    :param receiver: where it publishes to.
    """

    stack: AirflowStack
    evolink: EvoLink
    receiver: Receiver


@dataclass(frozen=True)
class Made:
    """A video, and how it came about.

    :param landed: what the transfer returned about it.
    :param record: what the operator returned.
    :param run_id: of the DAG run.
    :param seconds: from the start of the run to its end.
    """

    run_id: str
    landed: dict[str, Any]
    record: dict[str, Any]
    seconds: float


@contextmanager
def running(screen: Screen, key: str | None) -> Iterator[Session]:
    """Start everything, and end it with the context.

    :param key: API key of the real EvoLink; None for the emulator.
    :raises DemoError: another demo is running, or something did not start.
    """
    home = FOLDER / "airflow"
    with only_one(FOLDER), Processes(home / "components") as processes, Receiver() as receiver, ExitStack() as exits:
        shutil.rmtree(home, ignore_errors=True)
        used = _evolink(screen, processes, key)
        with screen.step("Airflow") as step:
            stack = AirflowStack(home, PROJECT / "dags", _variables(used, receiver), step.note, processes)
            exits.enter_context(stack)
            step.note("finding the DAG")
            stack.wait_for_dag(DAG_ID)
            stack.api.unpause(DAG_ID)
            step.note(stack.url)
        yield Session(stack, used, receiver)


def make_video(session: Session, screen: Screen) -> Made:
    """Run the DAG, and show how it goes.

    :raises DemoError: the run failed; the text holds the end of the failed task's log.
    """
    api = session.stack.api
    started = time.monotonic()
    run_id = api.trigger(DAG_ID, {"destination": (FOLDER / "landed").as_uri()})
    for task_id, title in (("generate", "Generation"), ("land", "Landing"), ("publish", "Publication")):
        with screen.step(title) as step:
            _follow(session.stack, run_id, task_id, step)
    session.stack.wait_for_run(DAG_ID, run_id)
    return Made(
        run_id=run_id,
        landed=api.xcom(DAG_ID, run_id, "land")[0],
        record=api.xcom(DAG_ID, run_id, "generate"),
        seconds=time.monotonic() - started,
    )


def _variables(used: EvoLink, receiver: Receiver) -> dict[str, str]:
    """Return what Airflow is told: its connections, and to ask every second about generations that hurry."""
    hurry = {"AIRFLOW__EVOLINK__POLL_INTERVAL": "1"} if used.is_emulated else {}
    return hurry | {
        "AIRFLOW_CONN_EVOLINK_DEFAULT": used.connection,
        "AIRFLOW_CONN_PUBLISH_WEBHOOK": receiver.connection,
    }


def _evolink(screen: Screen, processes: Processes, key: str | None) -> EvoLink:
    with screen.step("EvoLink") as step:
        used = evolink.real(key) if key else evolink.emulated(processes, FOLDER / "emulator")
        step.note(used.name)
    return used


def _follow(stack: AirflowStack, run_id: str, task_id: str, step: Step) -> None:
    """Show a task's state and the progress it reports, as a user finds them in Airflow, until it has succeeded."""

    def has_succeeded() -> bool:
        state = stack.api.task_states(DAG_ID, run_id)[task_id]
        if state in {"running", "deferred"}:
            _show_progress(stack, run_id, task_id, state, step)
        else:
            step.note(state or "waiting")
        if state != "success" and (state == "upstream_failed" or state in FINAL_STATES):
            log = stack.api.log(DAG_ID, run_id, task_id)
            raise DemoError(f"The task {task_id} failed. The end of its log:\n" + "\n".join(log.splitlines()[-20:]))
        return state == "success"

    stack.wait_until(f"the task {task_id}", has_succeeded, RUN_TIMEOUT)


def _show_progress(stack: AirflowStack, run_id: str, task_id: str, state: str, step: Step) -> None:
    news = _NEWS.findall(stack.api.log(DAG_ID, run_id, task_id))
    if found := _PERCENT.findall("\n".join(news)):
        step.percent(float(found[-1]))
    step.note(f"{state}: {news[-1]}" if news else state)
