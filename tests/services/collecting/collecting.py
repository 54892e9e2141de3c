# SPDX-License-Identifier: Apache-2.0
"""Sensors that end in the triggerer, beside one that ends on a worker, and tasks that take what they return."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor

ENDS_THERE: dict[str, Any] = {"poll_interval": 1, "end_in_triggerer": True}

with DAG("collecting", params={"ids": Param([], type="array")}):

    @task
    def take(record: dict[str, Any]) -> str:
        """Return what only a record has."""
        return str(record["generation_id"])

    EvoLinkGenerationSensor(task_id="on_worker", generation_id="{{ params.ids[0] }}", poll_interval=1)
    EvoLinkGenerationSensor(task_id="failing", generation_id="{{ params.ids[2] }}", **ENDS_THERE)
    each = EvoLinkGenerationSensor.partial(task_id="in_triggerer", **ENDS_THERE).expand(
        generation_id=["{{ params.ids[0] }}", "{{ params.ids[1] }}"]
    )
    take.expand(record=each.output)
