# SPDX-License-Identifier: Apache-2.0
"""Generate and land, in two tasks and in one, with the failpoints of :mod:`tests.crash.halting`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Context, Param

from airflow_provider_evolink.execution.pending import PendingGeneration
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from tests.crash.checkpoints import Checkpoints
from tests.crash.halting import HaltingGenerationTrigger, checkpoints_of, halting

PICTURE = Path(__file__).parents[3] / "dags" / "pictures" / "lighthouse.png"
# The failpoints before and after a write, by store key and phase.
AROUND = {
    ("evolink", "intent"): ("before-intent", "after-intent"),
    ("evolink", "submitted"): ("response-received", "recorded"),
    ("evolink", "finished"): ("resumed", "finished"),
    ("evolink_landing", None): (None, "checkpointed"),
}


def halt_after_parts(checkpoints: Checkpoints) -> None:
    """Make this process halt after each part that it uploads to a bucket."""
    from s3fs import S3FileSystem

    call_s3 = S3FileSystem.call_s3

    def call(fs: S3FileSystem, method: str, *arguments: Any, **options: Any) -> Any:
        response = call_s3(fs, method, *arguments, **options)
        if method == "upload_part":
            checkpoints.reach("uploading")
        return response

    S3FileSystem.call_s3 = call


def around(key: str, value: Any) -> tuple[str | None, str | None]:
    """Return the failpoints before and after a write of a record."""
    return AROUND.get((key.partition(".")[0], value.get("phase")), (None, None))


class Generate(EvoLinkImageToVideoOperator):
    """The operator with failpoints."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and wait."""
        vars(self).update(context["params"]["arguments"])
        self._checkpoints = checkpoints_of(context)
        return super().execute(halting(context, around))

    def execute_complete(self, context: Context, event: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Finish."""
        return super().execute_complete(halting(context, around), event, **kwargs)

    def _record_landing(self, context: Context, record: dict[str, Any]) -> None:
        super()._record_landing(context, record)
        checkpoints_of(context).reach("landed")

    def _trigger(self, pending: PendingGeneration) -> EvoLinkGenerationTrigger:
        _, arguments = super()._trigger(pending).serialize()
        return HaltingGenerationTrigger(checkpoints=str(self._checkpoints.folder), **arguments)


class Land(EvoLinkToObjectStorageOperator):
    """The transfer with failpoints."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land."""
        checkpoints = checkpoints_of(context)
        halt_after_parts(checkpoints)
        context = halting(context, around)
        checkpoints.reach("before-landing")
        landed = super().execute(context)
        checkpoints.reach("landed")
        return landed


def dag(dag_id: str) -> DAG:
    """Return a DAG without tasks."""
    return DAG(
        dag_id,
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
    )


def generate(**arguments: Any) -> Generate:
    """Return the task that generates."""
    return Generate(
        task_id="generate",
        prompt="{{ params.prompt }}",
        image=str(PICTURE),
        duration=3,
        poll_interval=1,
        evolink_conn_id="{{ params.conn_id }}",
        **arguments,
    )


with dag("crash"):
    Land(
        task_id="land",
        generation=generate().output,
        destination="{{ params.destination }}",
        evolink_conn_id="{{ params.conn_id }}",
    )

with dag("crash_one_task"):
    generate(destination="{{ params.destination }}")
