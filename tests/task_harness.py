# SPDX-License-Identifier: Apache-2.0
"""Runs the attempts of one task instance, as Airflow would.

The operator, the trigger, the poller, the hook and the HTTP to the emulator are real. Stand-ins are only what Airflow
provides to a task: its identity, XCom and the task state store.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.triggers.base import TriggerEvent


class Store:
    """A task state store in memory; like Airflow's, it accepts JSON values only."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.writes: list[dict[str, Any]] = []

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        return json.loads(self.held[key]) if key in self.held else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a JSON value."""
        assert value is not None
        self.held[key] = json.dumps(value, allow_nan=False)
        assert json.loads(self.held[key]) == value, "Airflow refuses what only becomes JSON, such as a tuple"
        self.writes.append(value)

    def delete(self, key: str) -> None:
        """Remove a value."""
        self.held.pop(key, None)


class FailingStore(Store):
    """A store in which chosen writes fail.

    :param failing: positions of the writes that fail, from 1.
    """

    def __init__(self, *failing: int) -> None:
        super().__init__()
        self.failing, self.count = failing, 0

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Fail if this write was chosen."""
        self.count += 1
        if self.count in self.failing:
            raise RuntimeError("the API server is down")
        super().set(key, value, retention=retention)


@dataclass
class TaskInstance:
    """The part of a task instance that operators use."""

    dag_id: str = "dag"
    run_id: str = "manual__2026-11-23T00:00:00+00:00"
    task_id: str = "task"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    xcoms: dict[str, Any] = field(default_factory=dict)

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Return when the first reschedule began; here None: the start of the attempt counts."""
        return None

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom value."""
        self.xcoms[key] = value


@dataclass
class TaskHarness:
    """One task instance, its state store, and the deferrals and events of its attempts."""

    ti: TaskInstance = field(default_factory=TaskInstance)
    store: Store = field(default_factory=Store)
    deferrals: list[TaskDeferred] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def context(self) -> Any:
        """The context of the current attempt."""
        return {"ti": self.ti, "task_instance": self.ti, "task_state_store": self.store, "outlet_events": {}}

    @property
    def record(self) -> Any:
        """The newest ledger record."""
        entries = [("evolink" if number < 2 else f"evolink.{number}") for number in range(self.ti.try_number, 0, -1)]
        return next((self.store.get(entry) for entry in entries if entry in self.store.held), None)

    def run(self, operator: BaseOperator) -> Any:
        """Run one attempt to its end: execute, and after a deferral the trigger in its own event loop, then resume."""
        try:
            return operator.execute(self.context)
        except TaskDeferred as deferred:
            self.deferrals.append(deferred)
            event = asyncio.run(first_event(deferred.trigger))
            self.events.append(event)
            kwargs = {**(deferred.kwargs or {}), "event": event}
            return operator.resume_execution(deferred.method_name, kwargs, self.context)

    def retry(self, operator: BaseOperator) -> Any:
        """Run the next attempt, after a failure."""
        self.ti.try_number += 1
        self.ti.start_date = datetime.now(UTC)
        self.ti.xcoms.clear()
        return self.run(operator)

    def clear(self, operator: BaseOperator) -> Any:
        """Run the next attempt, after a user cleared the task."""
        self.ti.max_tries = self.ti.try_number + operator.retries
        return self.retry(operator)


async def first_event(trigger: Any) -> Any:
    """Serialize the trigger as Airflow does, run it anew, and return the payload of its only event."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    events = [event async for event in cls(**json.loads(json.dumps(kwargs))).run()]
    assert len(events) == 1
    assert isinstance(events[0], TriggerEvent)
    return json.loads(json.dumps(events[0].payload))
