# SPDX-License-Identifier: Apache-2.0
"""From EvoLink's "completed" to the task's success: the example DAG ``evolink_fan_out``, beside all that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.real.stage import FAN_OUT, Stage
from benchmarks.real.waiting import events
from demo.stack import FINAL_STATES

PROMPTS = 12
_GROUP = "video"
_LOOK_SECONDS = 0.25
_TIMEOUT = 600.0


@dataclass(frozen=True)
class Delay:
    """The way of one generation, in seconds since the epoch.

    :param completed: when EvoLink had completed it.
    :param fired: when the trigger told Airflow.
    :param succeeded: when the task that generates had succeeded.
    :param landed: when the task that lands had.
    """

    completed: float
    fired: float
    succeeded: float
    landed: float


@dataclass(frozen=True)
class FannedOut:
    """What became of the run.

    :param state: of the run.
    :param seconds: from its start to its end.
    :param most: generations that were under way at EvoLink at once.
    """

    state: str
    seconds: float
    most: int
    delays: tuple[Delay, ...]


def fan_out(stage: Stage, destination: Path) -> FannedOut:
    """Run the DAG, and watch EvoLink meanwhile."""
    prompts = [f"A boat, number {number}" for number in range(PROMPTS)]
    stage.stack.api.unpause(FAN_OUT)
    began = time.time()
    run_id = stage.stack.api.trigger(FAN_OUT, {"prompts": prompts, "destination": destination.as_uri()})
    completed: dict[str, float] = {}
    most = 0
    while (state := stage.stack.api.run_state(FAN_OUT, run_id)) not in FINAL_STATES and time.time() < began + _TIMEOUT:
        until = time.time() + 4 * _LOOK_SECONDS
        while time.time() < until:
            most = max(most, _look(stage, completed))
            time.sleep(_LOOK_SECONDS)
    return FannedOut(str(state), time.time() - began, most, tuple(_delays(stage, run_id, completed)))


def _look(stage: Stage, completed: dict[str, float]) -> int:
    """Note what has been completed since the last look; return how many are under way."""
    generations = stage.evolink.control.state()["generations"]
    for one in generations:
        if one["status"] == "completed":
            completed.setdefault(one["id"], time.time())
    return sum(1 for one in generations if one["status"] in {"pending", "processing"})


def _delays(stage: Stage, run_id: str, completed: dict[str, float]) -> Iterator[Delay]:
    ended = {
        (task["task_id"].rpartition(".")[2], task["map_index"]): _moment(task["end_date"])
        for task in stage.stack.api.task_instances(FAN_OUT, run_id)
    }
    logs = stage.stack.home / "logs" / f"dag_id={FAN_OUT}" / f"run_id={run_id}" / f"task_id={_GROUP}.generate"
    for number in range(PROMPTS):
        made = stage.stack.api.xcom(FAN_OUT, run_id, f"{_GROUP}.generate", key="generation_id", map_index=number)
        fired = [
            moment
            for log in (logs / f"map_index={number}").glob("*.trigger.*")
            for moment, event in events(log)
            if "fired event" in event
        ]
        if made in completed and fired:
            yield Delay(completed[made], fired[-1], ended["generate", number], ended["land", number])


def _moment(text: Any) -> float:
    return datetime.fromisoformat(str(text)).timestamp() if text else float("nan")
