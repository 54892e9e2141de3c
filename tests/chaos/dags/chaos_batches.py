# SPDX-License-Identifier: Apache-2.0
"""Tables to videos to manifests, with nothing but the provider's own operator, mapped over the tables."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from tests.chaos.prompts import batches

with DAG(
    "chaos_batches",
    schedule=None,
    catchup=False,
    default_args={"retries": 80, "retry_delay": 1},
    params={"tables": Param(type="string"), "destination": Param(type="string")},
):
    EvoLinkBatchOperator.partial(
        task_id="batch",
        model="gemini-omni-flash-image-to-video",
        key="sku",
        destination="{{ params.destination }}/{{ ti.map_index }}",
        max_in_flight=40,
        poll_interval=2,
    ).expand(requests=[f"{{{{ params.tables }}}}/{number}.jsonl" for number in range(batches())])
