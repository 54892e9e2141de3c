# SPDX-License-Identifier: Apache-2.0
"""One task for all rows of a file, with two sizes of its window."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from benchmarks.batch.rows import BATCH_PATTERN, DEFAULTS, KEY
from benchmarks.bodies import MODEL

for window in (200, 1000):
    with DAG(
        f"bench_batch_{window}",
        schedule=None,
        catchup=False,
        default_args=DEFAULTS,
        params={"requests": "", "destination": ""},
    ):
        EvoLinkBatchOperator(
            task_id="videos",
            model=MODEL,
            requests="{{ params.requests }}",
            key=KEY,
            destination="{{ params.destination }}",
            filename_pattern=BATCH_PATTERN,
            max_in_flight=window,
        )
