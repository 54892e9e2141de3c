# SPDX-License-Identifier: Apache-2.0
"""Batches to test with, and all workers and triggers of an attempt."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_evolink.batch.ledger import rows_in_chunk
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from tests.task_harness import TaskHarness, first_event

TEXT = "gemini-omni-flash-text-to-video"


def rows(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return rows with keys A0, A1 and so on."""
    return [{"sku": f"A{number}", "prompt": f"Product {number}", "duration": 3, **fields} for number in range(count)]


def batch(requests: Any, destination: Path | str, **kwargs: Any) -> EvoLinkBatchOperator:
    """Return a task that makes short videos and polls every 50 ms."""
    given = {"model": TEXT, "key": "sku", "poll_interval": 0.05, **kwargs}
    return EvoLinkBatchOperator(task_id="task", requests=requests, destination=str(destination), **given)


def run(harness: TaskHarness, operator: EvoLinkBatchOperator, *, max_deferrals: int = 50) -> Any:
    """Run one attempt to its end: all its workers, with a trigger between each two."""
    method, kwargs = "execute", None
    for _ in range(max_deferrals + 1):
        try:
            if kwargs is None:
                return operator.execute(harness.context)
            return operator.resume_execution(method, kwargs, harness.context)
        except TaskDeferred as deferred:
            harness.deferrals.append(deferred)
            event = asyncio.run(first_event(deferred.trigger))
            harness.events.append(event)
            method, kwargs = deferred.method_name, json.loads(json.dumps({**(deferred.kwargs or {}), "event": event}))
    raise AssertionError(f"deferred more than {max_deferrals} times")


def retry(harness: TaskHarness, operator: EvoLinkBatchOperator) -> Any:
    """Run the next attempt, after a failure."""
    harness.ti.try_number += 1
    harness.ti.start_date = datetime.now(UTC)
    harness.ti.xcoms.clear()
    return run(harness, operator)


def clear(harness: TaskHarness, operator: EvoLinkBatchOperator) -> Any:
    """Run the next attempt, after a user cleared the task."""
    harness.ti.max_tries = harness.ti.try_number + operator.retries
    return retry(harness, operator)


def stored_rows(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows in what was written to the store; none if it was no chunk."""
    return list(rows_in_chunk(value)) if "rows" in value else []


def manifest(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of a local manifest."""
    text = Path(summary["manifest"].removeprefix("file://")).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
