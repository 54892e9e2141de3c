# SPDX-License-Identifier: Apache-2.0
"""Tests of the extra link on a task's page."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.execution_time.xcom import XCom
from airflow.sdk.types import TaskInstanceKey

from airflow_provider_evolink.links.evolink import RESULT_LINK_KEY, EvoLinkResultLink
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

TI = TaskInstanceKey("dag", "task", "run", 1, -1)
VIDEO = "https://files.evolink.ai/a.mp4"


@pytest.mark.parametrize(("pushed", "link"), [(VIDEO, VIDEO), ("", ""), (None, "")])
def test_the_link(monkeypatch: pytest.MonkeyPatch, pushed: str | None, link: str) -> None:
    """The link is the URL that the task pushed to XCom, and empty before there is a result."""
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr(XCom, "get_value", lambda **kwargs: requests.append(kwargs) or pushed)
    task = EvoLinkGenerateOperator(task_id="task", model="x", parameters={})

    assert EvoLinkResultLink().get_link(task, ti_key=TI) == link
    assert requests == [{"key": RESULT_LINK_KEY, "ti_key": TI}]


FILE = {"uri": "file:///videos/0.mp4"}


@pytest.mark.parametrize(
    ("returned", "is_there"),
    [
        ({"generation_id": "task-unified-1", "landed": [FILE]}, True),
        ([FILE], True),
        ({"manifest": "file:///m.jsonl", "landed": 3}, True),
        ({"generation_id": "task-unified-1"}, False),
        ({"found": 0, "landed": []}, False),
        ({"manifest": "file:///m.jsonl", "landed": 0}, False),
        ([], False),
        (None, False),
    ],
    ids=["record", "transfer", "batch", "not-landed", "recovery-of-nothing", "batch-of-nothing", "nothing", "waiting"],
)
def test_watch(monkeypatch: pytest.MonkeyPatch, returned: Any, is_there: bool) -> None:
    """The link leads to the tab of the task instance, of its own map index, once something has landed."""
    monkeypatch.setattr(XCom, "get_value", lambda **_: returned)
    task = EvoLinkGenerateOperator(task_id="land", model="x", parameters={}, destination="/videos")
    [link] = [link for link in task.operator_extra_links if link.name == "Watch"]

    address = link.get_link(task, ti_key=TaskInstanceKey("dag", "land", "r+1", 1, 2))

    assert address == ("dags/dag/runs/r%2B1/tasks/land/mapped/2/plugin/evolink-video" if is_there else "")
