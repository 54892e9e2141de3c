# SPDX-License-Identifier: Apache-2.0
"""Generate and land, with failpoints.

The operators are the provider's own. What they call on their way (the task state store, the storage and the trigger) is
wrapped so that a process can be halted before and after; every call returns what it would return anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Context, Param
from airflow.triggers.base import TriggerEvent

from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.operators.base import PendingGeneration
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from tests.crash.checkpoints import Checkpoints, fail_on_signal

PICTURE = Path(__file__).parents[3] / "dags" / "pictures" / "lighthouse.png"
# The failpoints before and after a write, by store key and phase.
AROUND = {
    ("evolink", "intent"): ("before-intent", "after-intent"),
    ("evolink", "submitted"): ("response-received", "recorded"),
    ("evolink", "finished"): ("resumed", None),
}


class HaltingStore:
    """A task state store with failpoints."""

    def __init__(self, store: Any, checkpoints: Checkpoints) -> None:
        self._store = store
        self._checkpoints = checkpoints

    def get(self, key: str, default: Any = None) -> Any:
        """Read a value."""
        return self._store.get(key, default)

    def set(self, key: str, value: Any, **options: Any) -> None:
        """Write a value between two failpoints."""
        before, after = AROUND.get((key.partition(".")[0], value.get("phase")), (None, None))
        if before:
            self._checkpoints.reach(before)
        self._store.set(key, value, **options)
        if after:
            self._checkpoints.reach(after)


class HaltingStorage:
    """A bucket with a failpoint after each uploaded part."""

    def __init__(self, fs: Any, checkpoints: Checkpoints) -> None:
        self._fs = fs
        self._checkpoints = checkpoints

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    def call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call S3."""
        response = self._fs.call_s3(method, *arguments, **options)
        if method == "upload_part":
            self._checkpoints.reach("uploading")
        return response


def halting(context: Context) -> Context:
    """Return the context with failpoints in its state store, and let this process be failed by a signal."""
    fail_on_signal()
    return {**context, "task_state_store": HaltingStore(context["task_state_store"], checkpoints_of(context))}  # type: ignore[typeddict-item]


def checkpoints_of(context: Context) -> Checkpoints:
    """Return the checkpoints of this run."""
    return Checkpoints(Path(context["params"]["checkpoints"]))


class HaltingTrigger(EvoLinkGenerationTrigger):
    """The trigger, which records where it runs and can be halted before its event."""

    def __init__(self, checkpoints: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.checkpoints = checkpoints

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to recreate this trigger."""
        _, arguments = super().serialize()
        return "tests.crash.dags.crash.HaltingTrigger", {**arguments, "checkpoints": self.checkpoints}

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


class Generate(EvoLinkImageToVideoOperator):
    """The operator with failpoints."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and wait."""
        vars(self).update(context["params"]["arguments"])
        self._checkpoints = checkpoints_of(context)
        return super().execute(halting(context))

    def execute_complete(self, context: Context, event: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Finish."""
        return super().execute_complete(halting(context), event, **kwargs)

    def _trigger(self, pending: PendingGeneration) -> EvoLinkGenerationTrigger:
        _, arguments = super()._trigger(pending).serialize()
        return HaltingTrigger(checkpoints=str(self._checkpoints.folder), **arguments)


class Land(EvoLinkToObjectStorageOperator):
    """The transfer with failpoints."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land."""
        self._checkpoints = checkpoints_of(context)
        context = halting(context)
        self._checkpoints.reach("before-landing")
        return super().execute(context)

    def _target(self) -> StorageTarget:
        target = super()._target()
        return target if target.is_local else replace(target, fs=HaltingStorage(target.fs, self._checkpoints))

    def _announce(self, context: Context, landed: Sequence[Landed]) -> None:
        self._checkpoints.reach("landed")
        super()._announce(context, landed)


with DAG(
    "crash",
    schedule=None,
    catchup=False,
    max_active_runs=64,
    max_active_tasks=64,
    default_args={"retries": 6, "retry_delay": timedelta(seconds=1)},
    params={
        "checkpoints": Param(type="string", description="folder of the run's checkpoints"),
        "conn_id": Param(type="string"),
        "prompt": Param(type="string"),
        "destination": Param(type="string"),
        "arguments": Param(type="object", description="operator arguments"),
    },
):
    generate = Generate(
        task_id="generate",
        prompt="{{ params.prompt }}",
        image=str(PICTURE),
        duration=3,
        poll_interval=1,
        evolink_conn_id="{{ params.conn_id }}",
    )
    Land(
        task_id="land",
        generation=generate.output,
        destination="{{ params.destination }}",
        evolink_conn_id="{{ params.conn_id }}",
    )
