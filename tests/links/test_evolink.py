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
