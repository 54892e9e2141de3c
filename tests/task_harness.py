# SPDX-License-Identifier: Apache-2.0
"""Runs the attempts of one task instance, as Airflow would.

The operator, the trigger, the poller, the hook and the HTTP to the emulator are real. Stand-ins are only what Airflow
provides to a task: its identity, XCom and the task state store. With :func:`ledger_in_files` there is no such store, as
before Airflow 3.3, and the ledger is in numbered files.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest import mock
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import BaseOperator
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import MaskSecret
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_evolink.compat import has_state_stores
from airflow_provider_evolink.execution import object_ledger, task_state
from airflow_provider_evolink.submission.entries import ABSENT
from airflow_provider_evolink.submission.record_log import NumberedRecords, RecordLog


class Store:
    """A task state store in memory; like Airflow's, it accepts JSON values only.

    :cvar apart_in: below which path the ledgers in files are its own, as those in memory are, too.
    :ivar ti: the task instance that uses it.
    """

    apart_in: str | None = None

    def __init__(self) -> None:
        self._name = uuid4().hex
        self._held: dict[str, str] = {}
        self.writes: list[dict[str, Any]] = []
        self.ti: TaskInstance | None = None

    @property
    def files(self) -> NumberedRecords | None:
        """The ledger in numbered files, if that is where ledgers are."""
        path = object_ledger.ledger_path()
        if path is None or self.ti is None:
            return None
        if path == self.apart_in:
            path = f"{path}/{self._name}"
            Path(path.removeprefix("file://")).mkdir(exist_ok=True)
        files = object_ledger.numbered_records(path, cast("Any", {"ti": self.ti}))
        assert isinstance(files, NumberedRecords)
        return files

    @property
    def held(self) -> dict[str, str]:
        """What is stored, as JSON, by store key; in files, the newest record of each name."""
        files = self.files
        return self._held if files is None else newest_in(files)

    @held.setter
    def held(self, held: dict[str, str]) -> None:
        self._held = held

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        if (files := self.files) is not None:
            return files.get(key, default)
        return json.loads(self._held[key]) if key in self._held else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a JSON value."""
        assert value is not None
        text = json.dumps(value, allow_nan=False)
        assert json.loads(text) == value, "Airflow refuses what only becomes JSON, such as a tuple"
        if (files := self.files) is not None:
            files.set(key, value)
        self._held[key] = text
        self.writes.append(value)

    def delete(self, key: str) -> None:
        """Remove a value."""
        self._held.pop(key, None)


def newest_in(files: NumberedRecords) -> dict[str, str]:
    """Return the newest values in the files of a task instance, as JSON, by file name."""
    folder = files._open_folder()
    logs = {name: RecordLog(folder / name, files._writer) for name in folder.names()}
    for log in logs.values():
        log.load()
    return {name: json.dumps(log.value) for name, log in logs.items() if log.value is not ABSENT}


def ledger_in_files(patch: pytest.MonkeyPatch, folder: Path, *, apart: bool = False) -> None:
    """Put ledgers into numbered files, without any store of Airflow's, as before 3.3.

    A test's own store is still asked first, so that it can fail or die at a chosen write.

    :param apart: give each store a folder of its own, so that two of them don't know of each other; without it, all
        share the ledger of the same task instance.
    """
    patch.setattr(Store, "apart_in", f"file://{folder}" if apart else None)
    patch.setenv("AIRFLOW__EVOLINK__LEDGER_PATH", f"file://{folder}")
    patch.setattr(task_state, "asset_state_store", lambda *_: None)

    def numbered_records(path: str, context: Any) -> Any:
        store: Store | None = context.get("test_store")
        if store is None:
            return object_ledger.numbered_records(path, context)
        store.ti = context["ti"]
        return store

    patch.setattr(task_state, "numbered_records", numbered_records)


def asset_stores(copies: Store) -> dict[str, Any]:
    """Return what a context has besides, if ledgers are copied: nothing where Airflow has no state stores of assets."""
    return {"asset_state_store": {task_state.LEDGER_ASSET: copies}} if has_state_stores() else {}


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
    """The part of a task instance that operators use.

    :param id: Airflow's id of the try.
    """

    dag_id: str = "dag"
    run_id: str = "manual__2026-11-23T00:00:00+00:00"
    task_id: str = "task"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    xcoms: dict[str, Any] = field(default_factory=dict)
    is_mapped: bool = False
    id: str = ""

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Return when the first reschedule began; here None: the start of the attempt counts."""
        return None

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom value."""
        self.xcoms[key] = value


class Supervisor:
    """The triggerer's supervisor, as far as a trigger asks it to store XComs.

    :param ti: gets the XComs.
    """

    def __init__(self, ti: TaskInstance) -> None:
        self.ti = ti

    async def asend(self, message: Any) -> None:
        """Answer a request."""
        self.store(message)

    def send(self, message: Any) -> None:
        """Answer a request of Airflow before 3.3, which also names what to mask in logs."""
        if not isinstance(message, MaskSecret):
            self.store(message)

    def store(self, message: Any) -> None:
        """Store an XCom of this task instance, and nothing else."""
        names = ("dag_id", "run_id", "task_id", "map_index")
        assert [getattr(message, name) for name in names] == [getattr(self.ti, name) for name in names]
        self.ti.xcoms[message.key] = json.loads(json.dumps(message.value))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the triggers of this process."""
        with mock.patch.object(task_runner, "SUPERVISOR_COMMS", self, create=True):
            yield


@dataclass
class TaskHarness:
    """One task instance, its state store, and the deferrals and events of its attempts."""

    ti: TaskInstance = field(default_factory=TaskInstance)
    store: Store = field(default_factory=Store)
    deferrals: list[TaskDeferred] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __setattr__(self, name: str, value: Any) -> None:
        """Let a test read and write its store before the first try, too."""
        super().__setattr__(name, value)
        if name == "store":
            value.ti = self.ti

    @property
    def context(self) -> Any:
        """The context of the current attempt."""
        context: Any = {"ti": self.ti, "task_instance": self.ti, "outlet_events": {}, "test_store": self.store}
        return {**context, "task_state_store": None if object_ledger.ledger_path() else self.store}

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
            event = self._trigger_event(operator, deferred.trigger)
            self.events.append(event.payload)
            if isinstance(event, TaskSuccessEvent):
                return self.ti.xcoms.get("return_value")
            kwargs = {**(deferred.kwargs or {}), "event": json.loads(json.dumps(event.payload))}
            return operator.resume_execution(deferred.method_name, kwargs, self.context)

    def _trigger_event(self, operator: BaseOperator, trigger: Any) -> TriggerEvent:
        """Run a trigger; it gets the task instance if it may end the task."""
        with Supervisor(self.ti).serving():
            return asyncio.run(only_event(trigger, self.ti if getattr(operator, "end_in_triggerer", False) else None))

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
    """Run the trigger, and return the payload of its only event."""
    return json.loads(json.dumps((await only_event(trigger)).payload))


async def only_event(trigger: Any, task_instance: Any = None) -> TriggerEvent:
    """Serialize the trigger as Airflow does, run it anew, and return its only event.

    :param task_instance: that a triggerer would give it; ``None``, as in ``dag.test()``, waits for no worker to exit.
    """
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    anew = cls(**json.loads(json.dumps(kwargs)))
    anew.task_instance = task_instance
    events = [event async for event in anew.run()]
    assert len(events) == 1
    assert isinstance(events[0], TriggerEvent)
    return events[0]
