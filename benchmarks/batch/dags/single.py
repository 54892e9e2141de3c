# SPDX-License-Identifier: Apache-2.0
"""A mapped task that generates and lands."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from benchmarks.batch.rows import DEFAULTS, parameters
from benchmarks.bodies import MODEL

with DAG("bench_single", schedule=None, catchup=False, default_args=DEFAULTS, params={"count": 1, "destination": ""}):

    @task
    def orders() -> list[dict[str, Any]]:
        """Return the parameters of each generation."""
        return [parameters(number) for number in range(get_current_context()["params"]["count"])]

    EvoLinkGenerateOperator.partial(task_id="video", model=MODEL, destination="{{ params.destination }}").expand(
        parameters=orders()
    )
