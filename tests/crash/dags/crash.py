"""
Generate and land, with places to be killed at.

The operators are the provider's own. What they call on their way, the task state store, the storage and the trigger,
is wrapped so that a process can be halted before and after; nothing is answered differently.
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
from tests.crash.marks import Marks, fail_when_told

PICTURE = Path(__file__).parents[3] / "dags" / "pictures" / "lighthouse.png"
# The points before and after a write, by key and phase.
AROUND = {
    ("evolink", "intent"): ("before-intent", "after-intent"),
    ("evolink", "submitted"): ("answered", "recorded"),
    ("evolink", "finished"): ("resumed", None),
}


class HaltingStore:
    """A task state store that a process can be halted at."""

    def __init__(self, store: Any, marks: Marks) -> None:
        self._store = store
        self._marks = marks

    def get(self, key: str, default: Any = None) -> Any:
        """Read."""
        return self._store.get(key, default)

    def set(self, key: str, value: Any, **options: Any) -> None:
        """Write, between two points."""
        before, after = AROUND.get((key.partition(".")[0], value.get("phase")), (None, None))
        if before:
            self._marks.reach(before)
        self._store.set(key, value, **options)
        if after:
            self._marks.reach(after)


class HaltingStorage:
    """A bucket that a process can be halted at, once a part of a file is there."""

    def __init__(self, fs: Any, marks: Marks) -> None:
        self._fs = fs
        self._marks = marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    def call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Ask S3."""
        answer = self._fs.call_s3(method, *arguments, **options)
        if method == "upload_part":
            self._marks.reach("uploading")
        return answer


def halting(context: Context) -> Context:
    """Return the context with a store that a process can be halted at, and let this process be told to fail."""
    fail_when_told()
    return {**context, "task_state_store": HaltingStore(context["task_state_store"], marks_of(context))}  # type: ignore[typeddict-item]


def marks_of(context: Context) -> Marks:
    """Return the marks of this run."""
    return Marks(Path(context["params"]["marks"]))


class HaltingTrigger(EvoLinkGenerationTrigger):
    """The trigger, which says where it runs, and can be halted when its event fires."""

    def __init__(self, marks: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.marks = marks

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger again."""
        _, arguments = super().serialize()
        return "tests.crash.dags.crash.HaltingTrigger", {**arguments, "marks": self.marks}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and halt before the event."""
        marks = Marks(Path(self.marks))
        marks.note("waiting")
        async for event in super().run():
            await marks.reach_on_loop("event")
            yield event

    async def cleanup(self) -> None:
        """Say that the trigger has ended here, whatever the reason."""
        await super().cleanup()
        Marks(Path(self.marks)).note("left")


class Generate(EvoLinkImageToVideoOperator):
    """The operator, which can be halted."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and wait."""
        vars(self).update(context["params"]["wishes"])
        self._marks = marks_of(context)
        return super().execute(halting(context))

    def execute_complete(self, context: Context, event: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Finish."""
        return super().execute_complete(halting(context), event, **kwargs)

    def _trigger(self, waited: PendingGeneration) -> EvoLinkGenerationTrigger:
        _, arguments = super()._trigger(waited).serialize()
        return HaltingTrigger(marks=str(self._marks.folder), **arguments)


class Land(EvoLinkToObjectStorageOperator):
    """The transfer, which can be halted."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land."""
        self._marks = marks_of(context)
        context = halting(context)
        self._marks.reach("before-landing")
        return super().execute(context)

    def _place(self) -> StorageTarget:
        place = super()._target()
        return place if place.is_local else replace(place, fs=HaltingStorage(place.fs, self._marks))

    def _announce(self, context: Context, landed: Sequence[Landed]) -> None:
        self._marks.reach("landed")
        super()._announce(context, landed)


with DAG(
    "crash",
    schedule=None,
    catchup=False,
    max_active_runs=64,
    max_active_tasks=64,
    default_args={"retries": 6, "retry_delay": timedelta(seconds=1)},
    params={
        "marks": Param(type="string", description="folder of the run's marks"),
        "conn_id": Param(type="string"),
        "prompt": Param(type="string"),
        "destination": Param(type="string"),
        "wishes": Param(type="object", description="arguments of the operator"),
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
