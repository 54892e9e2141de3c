# SPDX-License-Identifier: Apache-2.0
"""From EvoLink's "completed" to the task's success: the example DAG ``evolink_fan_out``, beside all that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.real.deployment import FAN_OUT, Deployment
from benchmarks.real.waiting import events
from testkit.airflow_stack import FINAL_STATES

PROMPTS = 12
_GROUP = "video"
_POLL_SECONDS = 0.25
_TIMEOUT = 600.0


@dataclass(frozen=True)
class Delay:
    """The path of one generation, in seconds since the epoch.

    :param completed: when EvoLink completed it.
    :param fired: when the trigger fired.
    :param succeeded: when the generating task succeeded.
    :param landed: when the landing task succeeded.
    """

    completed: float
    fired: float
    succeeded: float
    landed: float


@dataclass(frozen=True)
class FanOutResult:
    """The outcome of the run.

    :param state: state of the DAG run.
    :param seconds: duration of the DAG run.
    :param max_concurrent: maximum number of generations in progress at EvoLink.
    :param delays: one for each generation.
    """

    state: str
    seconds: float
    max_concurrent: int
    delays: tuple[Delay, ...]


def fan_out(deployment: Deployment, destination: Path) -> FanOutResult:
    """Run the DAG, and watch EvoLink meanwhile."""
    prompts = [f"A boat, number {number}" for number in range(PROMPTS)]
    deployment.stack.api.unpause(FAN_OUT)
    began = time.time()
    run_id = deployment.stack.api.trigger(FAN_OUT, {"prompts": prompts, "destination": destination.as_uri()})
    completed: dict[str, float] = {}
    max_concurrent = 0
    while (
        state := deployment.stack.api.run_state(FAN_OUT, run_id)
    ) not in FINAL_STATES and time.time() < began + _TIMEOUT:
        until = time.time() + 4 * _POLL_SECONDS
        while time.time() < until:
            max_concurrent = max(max_concurrent, _record_completed(deployment, completed))
            time.sleep(_POLL_SECONDS)
    return FanOutResult(str(state), time.time() - began, max_concurrent, tuple(_delays(deployment, run_id, completed)))


def _record_completed(deployment: Deployment, completed: dict[str, float]) -> int:
    """Record what was completed since the last poll; return how many are in progress."""
    generations = deployment.evolink.control.state()["generations"]
    for generation in generations:
        if generation["status"] == "completed":
            completed.setdefault(generation["id"], time.time())
    return sum(1 for generation in generations if generation["status"] in {"pending", "processing"})


def _delays(deployment: Deployment, run_id: str, completed: dict[str, float]) -> Iterator[Delay]:
    ended = {
        (task["task_id"].rpartition(".")[2], task["map_index"]): _moment(task["end_date"])
        for task in deployment.stack.api.task_instances(FAN_OUT, run_id)
    }
    logs = deployment.stack.home / "logs" / f"dag_id={FAN_OUT}" / f"run_id={run_id}" / f"task_id={_GROUP}.generate"
    for number in range(PROMPTS):
        generation_id = deployment.stack.api.xcom(
            FAN_OUT, run_id, f"{_GROUP}.generate", key="generation_id", map_index=number
        )
        fired = [
            moment
            for log in (logs / f"map_index={number}").glob("*.trigger.*")
            for moment, event in events(log)
            if "fired event" in event
        ]
        if generation_id in completed and fired:
            yield Delay(completed[generation_id], fired[-1], ended["generate", number], ended["land", number])


def _moment(text: Any) -> float:
    return datetime.fromisoformat(str(text)).timestamp() if text else float("nan")
