# SPDX-License-Identifier: Apache-2.0
"""A mapped group of two tasks: generate, then land. The recipe of ``dags/evolink_fan_out.py``."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, get_current_context, task, task_group

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from benchmarks.batch.rows import DEFAULTS, parameters
from benchmarks.bodies import MODEL

ARGUMENTS = DEFAULTS | {"weight_rule": "upstream"}

with DAG("bench_group", schedule=None, catchup=False, default_args=ARGUMENTS, params={"count": 1, "destination": ""}):

    @task
    def orders() -> list[dict[str, Any]]:
        """Return the parameters of each generation."""
        return [parameters(number) for number in range(get_current_context()["params"]["count"])]

    @task_group
    def video(order: Any) -> None:
        """Generate and land one video."""
        generate = EvoLinkGenerateOperator(task_id="generate", model=MODEL, parameters=order)
        EvoLinkToObjectStorageOperator(
            task_id="land", generation=generate.output, destination="{{ params.destination }}"
        )

    video.expand(order=orders())
