# SPDX-License-Identifier: Apache-2.0
"""A batch, with failpoints, which :mod:`tests.crash.halting` puts around the provider's own operator."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

from airflow.sdk import DAG, Context, Param

from airflow_provider_evolink.batch.ledger import rows_in_chunk
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from tests.crash.batch_failpoints import ROWS
from tests.crash.checkpoints import Checkpoints
from tests.crash.halting import HaltingBatchTrigger, checkpoints_of, halting


class LastWave:
    """Finds the failpoints around writes of the chunk, once it holds all rows."""

    def __init__(self) -> None:
        self._is_open = False

    def around(self, key: str, value: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the failpoints before and after a write."""
        rows = rows_in_chunk(value) if "rows" in value else []
        phases = [row.get("record", {}).get("phase") for row in rows]
        if len(phases) < ROWS:
            return None, None
        was_open, self._is_open = self._is_open, "intent" in phases
        if self._is_open:
            return "before-intents", "after-intents"
        return "before-ids" if was_open else None, "landed" if set(phases) == {"finished"} else None


def halt_before_replacement(checkpoints: Checkpoints) -> None:
    """Make this process halt when the finished manifest is about to take the place of an earlier one."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and os.fsdecode(arguments[1]).endswith(".jsonl"):
            checkpoints.reach("before-replacement")

    sys.addaudithook(audit)


class Batch(EvoLinkBatchOperator):
    """The operator with failpoints."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin."""
        vars(self).update(context["params"]["arguments"])
        return super().execute(context)

    def _work(self, context: Context, cursor: object, *, may_defer: bool = True) -> dict[str, Any]:
        self._checkpoints = checkpoints_of(context)
        context = halting(context, LastWave().around)
        halt_before_replacement(self._checkpoints)
        if cursor is not None:
            self._checkpoints.reach("resumed")
        return super()._work(context, cursor, may_defer=may_defer)

    def defer(self, *, trigger: Any, **options: Any) -> NoReturn:
        """Defer, with failpoints in the trigger."""
        _, arguments = trigger.serialize()
        super().defer(trigger=HaltingBatchTrigger(checkpoints=str(self._checkpoints.folder), **arguments), **options)


with DAG(
    "crash_batch",
    schedule=None,
    catchup=False,
    max_active_runs=64,
    max_active_tasks=64,
    default_args={"retries": 6, "retry_delay": timedelta(seconds=1)},
    params={
        "checkpoints": Param(type="string", description="folder of the run's checkpoints"),
        "conn_id": Param(type="string"),
        "requests": Param(type="string", description="path of the rows"),
        "destination": Param(type="string"),
        "arguments": Param(type="object", description="operator arguments"),
    },
):
    Batch(
        task_id="batch",
        requests="{{ params.requests }}",
        key="sku",
        destination="{{ params.destination }}",
        poll_interval=1,
        evolink_conn_id="{{ params.conn_id }}",
    )
