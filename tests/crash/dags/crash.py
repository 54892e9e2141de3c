"""
Generate and land, with places to be killed at.

The operators are the provider's own. What they call on their way, the task state store and the trigger, is wrapped
so that a process can be halted before and after; nothing is answered differently.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Context, Param
from airflow.triggers.base import TriggerEvent

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from airflow_provider_evolink.waiting import Waited
from tests.crash.marks import Marks

PICTURE = Path(__file__).parents[3] / "dags" / "pictures" / "lighthouse.png"
# The points before and after a write, by key and phase.
AROUND = {
    ("evolink", "intent"): ("before-intent", "after-intent"),
    ("evolink", "submitted"): ("answered", "recorded"),
    ("evolink", "finished"): ("resumed", None),
    ("evolink_landing", None): ("landed", None),
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
        before, after = AROUND.get((key, value.get("phase")), (None, None))
        if before:
            self._marks.reach(before)
        self._store.set(key, value, **options)
        if after:
            self._marks.reach(after)


def halting(context: Context) -> Context:
    """Return the context with a store that a process can be halted at."""
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


class Generate(EvoLinkImageToVideoOperator):
    """The operator, which can be halted."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and wait."""
        self.timeout = context["params"]["timeout"]
        self._marks = marks_of(context)
        return super().execute(halting(context))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Finish."""
        return super().execute_complete(halting(context), event)

    def _trigger(self, waited: Waited) -> EvoLinkGenerationTrigger:
        _, arguments = super()._trigger(waited).serialize()
        return HaltingTrigger(marks=str(self._marks.folder), **arguments)


class Land(EvoLinkToObjectStorageOperator):
    """The transfer, which can be halted."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land."""
        marks_of(context).reach("before-landing")
        return super().execute(halting(context))


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
        "timeout": Param(1800, type="number"),
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
