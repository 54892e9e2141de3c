# SPDX-License-Identifier: Apache-2.0
"""What makes a process halt at a failpoint, for the DAGs of the suite.

What operators call on their way (the store of the ledger, the storage and the trigger) is wrapped so that a process can
be halted before and after; every call returns what it would return anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from airflow.sdk import Context
from airflow.triggers.base import TriggerEvent

from airflow_provider_evolink.execution import task_state
from airflow_provider_evolink.execution.object_ledger import ledger_path, numbered_records
from airflow_provider_evolink.triggers.base import EvoLinkBaseTrigger
from airflow_provider_evolink.triggers.batch import EvoLinkBatchTrigger
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from tests.crash.checkpoints import Checkpoints, fail_on_signal

# Returns the names of the failpoints before and after a write to the store.
Around = Callable[[str, Any], tuple[str | None, str | None]]


class HaltingStore:
    """A store with failpoints."""

    def __init__(self, store: Any, checkpoints: Checkpoints, around: Around) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._around = around

    def get(self, key: str, default: Any = None) -> Any:
        """Read a value."""
        return self._store.get(key, default)

    def set(self, key: str, value: Any, **options: Any) -> None:
        """Write a value between two failpoints."""
        before, after = self._around(key, value)
        if before:
            self._checkpoints.reach(before)
        self._store.set(key, value, **options)
        if after:
            self._checkpoints.reach(after)


class HaltingTrigger(EvoLinkBaseTrigger):
    """Mixin of a trigger, which records where it runs and can be halted before its event."""

    def __init__(self, checkpoints: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.checkpoints = checkpoints

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to recreate this trigger."""
        _, arguments = super().serialize()
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {**arguments, "checkpoints": self.checkpoints}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and halt before the event."""
        checkpoints = Checkpoints(Path(self.checkpoints))
        checkpoints.record("waiting")
        async for event in super().run():
            await checkpoints.reach_on_loop("event")
            yield event

    async def cleanup(self) -> None:
        """Record that the trigger ended here, whatever the reason."""
        await super().cleanup()
        Checkpoints(Path(self.checkpoints)).record("left")


class HaltingGenerationTrigger(HaltingTrigger, EvoLinkGenerationTrigger):
    """The trigger of one generation, with failpoints."""


class HaltingBatchTrigger(HaltingTrigger, EvoLinkBatchTrigger):
    """The trigger of a batch, with failpoints."""


def halting(context: Context, around: Around) -> Context:
    """Return the context with failpoints in the store of its ledger, and let this process be failed by a signal."""
    fail_on_signal()
    checkpoints = checkpoints_of(context)
    if ledger_path() is not None:
        # Each task has a process of its own.
        task_state.numbered_records = lambda path, of: HaltingStore(numbered_records(path, of), checkpoints, around)
        return context
    store = HaltingStore(context["task_state_store"], checkpoints, around)
    return {**context, "task_state_store": store}  # type: ignore[typeddict-item]


def checkpoints_of(context: Context) -> Checkpoints:
    """Return the checkpoints of this run."""
    return Checkpoints(Path(context["params"]["checkpoints"]))
