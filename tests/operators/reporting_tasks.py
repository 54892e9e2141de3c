# SPDX-License-Identifier: Apache-2.0
"""Tasks in a process of their own, which reports metrics as the environment configures Airflow to.

Prints what the metrics have to add up to.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from airflow_provider_evolink.api.errors import EvoLinkError, GenerationFailedError
from airflow_provider_evolink.compat import conf, metrics_sender
from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from tests.operators.submissions import TEXT, operator
from tests.task_harness import TaskHarness, TaskInstance


def main(folder: Path) -> None:
    """Run tasks whose submissions fail, are replayed and are resumed, and a batch."""
    initialize_metrics()
    control = ControlClient(os.environ["EMULATOR_URL"])
    records = [replayed(control, folder), failed_once(control, folder)]
    summary = batch(folder)
    state = control.state()
    facts = {
        "completions": len(records) + summary["landed"],
        "submissions": len(state["generations"]),
        "used": state["credits"]["charged"],
        "reserved": state["credits"]["charged"] + state["credits"]["released"],
        "bytes": sum(file.stat().st_size for file in folder.rglob("*.mp4")),
    }
    sys.stdout.write(f"{json.dumps(facts)}\n")


def initialize_metrics() -> None:
    """Configure Airflow's stats as its own task runner does before it runs a task."""
    if find_spec("airflow.sdk.observability") is None:
        return  # before 3.2 the first metric does it
    from airflow.sdk.observability.metrics import stats_utils

    sender, stats_factory = metrics_sender(), cast("Any", stats_utils.get_stats_factory)
    if isinstance(sender, type):  # before 3.3
        sender.initialize(factory=stats_factory(sender))
    else:
        names = conf.getboolean("metrics", "legacy_names_on")
        sender.initialize(factory=stats_factory(), export_legacy_names=names)


def replayed(control: ControlClient, folder: Path) -> dict[str, Any]:
    """Lose both responses of a first try; the second replays, and a clear returns the same."""
    harness, task = TaskHarness(), operator(destination=str(folder))
    control.inject("lost_response", on="submit", times=2)
    try:
        harness.run(task)
    except EvoLinkError:
        harness.retry(task)
    record: dict[str, Any] = harness.clear(task)
    return record


def failed_once(control: ControlClient, folder: Path) -> dict[str, Any]:
    """Fail a generation with a code that allows a new one, which the retry makes."""
    harness, task = TaskHarness(TaskInstance(task_id="another")), operator("Another", destination=str(folder))
    control.inject("generation_failed", on="submit", times=1, code="service_error")
    with suppress(GenerationFailedError):
        harness.run(task)
    record: dict[str, Any] = harness.retry(task)
    return record


def batch(folder: Path) -> dict[str, Any]:
    """Make and land three rows."""
    rows = [{"key": f"r{number}", "prompt": f"Row {number}", "duration": 3} for number in range(3)]
    task = EvoLinkBatchOperator(
        task_id="task", model=TEXT, requests=rows, key="key", destination=str(folder), deferrable=False, poll_interval=1
    )
    summary: dict[str, Any] = task.execute(TaskHarness(TaskInstance(task_id="batch")).context)
    return summary


if __name__ == "__main__":
    main(Path(sys.argv[1]))
