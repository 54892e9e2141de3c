"""
A task instance on which an operator plays, try after try, as Airflow would let it.

Real are the operator, the trigger, the poller, the hook and the HTTP to the emulator; ours are only the things that
Airflow hands to a task: its identity, XCom, and the state store.
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
    """A task state store in memory; it takes JSON only, as Airflow's does."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.writes: list[dict[str, Any]] = []

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        return json.loads(self.held[key]) if key in self.held else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value that JSON can carry."""
        assert value is not None
        self.held[key] = json.dumps(value, allow_nan=False)
        self.writes.append(value)

    def delete(self, key: str) -> None:
        """Forget a value."""
        self.held.pop(key, None)


class FailingStore(Store):
    """A store that takes what is planned: the positions of the writes that fail."""

    def __init__(self, *failing: int) -> None:
        super().__init__()
        self.failing, self.count = failing, 0

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Fail if it is this write's turn."""
        self.count += 1
        if self.count in self.failing:
            raise RuntimeError("the API server is down")
        super().set(key, value, retention=retention)


@dataclass
class TaskInstance:
    """What an operator sees of its task instance."""

    dag_id: str = "dag"
    run_id: str = "manual__2026-11-23T00:00:00+00:00"
    task_id: str = "task"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    xcoms: dict[str, Any] = field(default_factory=dict)

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """When the first of several reschedules began; here the start of the try stays the same."""
        return None

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value for others."""
        self.xcoms[key] = value


@dataclass
class Stage:
    """One task instance, its store, and what its deferrals looked like."""

    ti: TaskInstance = field(default_factory=TaskInstance)
    store: Store = field(default_factory=Store)
    deferrals: list[TaskDeferred] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def context(self) -> Any:
        """The context of this try."""
        return {"ti": self.ti, "task_instance": self.ti, "task_state_store": self.store, "outlet_events": {}}

    @property
    def record(self) -> Any:
        """What the newest entry of the ledger holds."""
        entries = [("evolink" if number < 2 else f"evolink.{number}") for number in range(self.ti.try_number, 0, -1)]
        return next((self.store.get(entry) for entry in entries if entry in self.store.held), None)

    def play(self, operator: BaseOperator) -> Any:
        """Run a try to its end: execute, and if it defers, the trigger in a loop of its own, then the resume."""
        try:
            return operator.execute(self.context)
        except TaskDeferred as deferred:
            self.deferrals.append(deferred)
            event = asyncio.run(first_event(deferred.trigger))
            self.events.append(event)
            kwargs = {**(deferred.kwargs or {}), "event": event}
            return operator.resume_execution(deferred.method_name, kwargs, self.context)

    def retry(self, operator: BaseOperator) -> Any:
        """Run the next try, after a failure."""
        self.ti.try_number += 1
        self.ti.start_date = datetime.now(UTC)
        self.ti.xcoms.clear()
        return self.play(operator)

    def clear(self, operator: BaseOperator) -> Any:
        """Run the next try, after a user has cleared the task."""
        self.ti.max_tries = self.ti.try_number + operator.retries
        return self.retry(operator)


async def first_event(trigger: Any) -> Any:
    """Serialise the trigger as Airflow does, run it anew, and return its one event's payload."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    events = [event async for event in cls(**json.loads(json.dumps(kwargs))).run()]
    assert len(events) == 1
    assert isinstance(events[0], TriggerEvent)
    return json.loads(json.dumps(events[0].payload))
