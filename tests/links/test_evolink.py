# SPDX-License-Identifier: Apache-2.0
"""Tests of the extra links on a task's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred, TaskInstanceKey
from airflow.sdk import BaseOperator

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.upload import EvoLinkUploadOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from tests.batch.batches import batch, rows
from tests.batch.batches import run as run_batch
from tests.operators.landings import LandingHarness
from tests.operators.submissions import operator

TI = TaskInstanceKey("dag", "land", "r+1", 1, 2)
WATCH = "dags/dag/runs/r%2B1/tasks/land/mapped/2/plugin/evolink-video"


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


def links(task: BaseOperator) -> dict[str, str]:
    """Return what Airflow gets once a run of the task has ended. An XCom can't be read here: that would fail."""
    return {link.name: link.get_link(task, ti_key=TI) for link in task.operator_extra_links}


def test_of_a_generation(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """Until there is a result both links are empty; then they lead to its URL, and to the tab of its map index."""
    task = operator(destination=str(tmp_path))
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    assert links(task) == {"EvoLink result": "", "Watch": ""}
    emulator.control.advance(1000)

    resumed = operator(destination=str(tmp_path))
    record = resumed.execute_complete(harness.context, {"outcome": "terminal"})

    assert links(resumed) == {"EvoLink result": record["results"][0], "Watch": WATCH}
    assert harness.ti.xcoms["result_link"] == record["results"][0]


def test_of_a_task_that_lands_nothing(emulator: EmulatorHandle, harness: LandingHarness) -> None:
    """Without a destination there is a result and nothing to watch; a later try's link is empty until it ends."""
    emulator.control.set_speed(1000)
    record = (task := operator(deferrable=False)).execute(harness.context)
    assert links(task) == {"EvoLink result": record["results"][0], "Watch": ""}
    assert links(operator()) == {"EvoLink result": "", "Watch": ""}


def test_of_a_transfer(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A transfer of something leads to its tab, one of nothing doesn't."""
    emulator.control.set_speed(1000)
    record: Any = operator(deferrable=False).execute(harness.context)
    for given, address in ((record, WATCH), ([], "")):
        task = EvoLinkToObjectStorageOperator(task_id="land", generation=given, destination=str(tmp_path))
        task.execute(harness.context)
        assert links(task) == {"Watch": address}


def test_of_a_batch(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A batch leads to its manifest and to its tab, also if rows have failed."""
    task = batch(rows(2), tmp_path, poll_interval=1)
    assert links(task) == {"EvoLink manifest": "", "Watch": ""}
    emulator.control.set_speed(1000)
    summary = run_batch(harness, task)
    assert links(task) == {"EvoLink manifest": summary["manifest"], "Watch": WATCH}


def test_of_other_tasks() -> None:
    """A task that generates and lands nothing has no link."""
    assert not links(EvoLinkUploadOperator(task_id="upload", source="/a.png"))
