# SPDX-License-Identifier: Apache-2.0
"""Sensors that end on a worker, and sensors that end in the triggerer."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor

for dag_id, end_in_triggerer in (("bench_on_worker", False), ("bench_in_triggerer", True)):
    with DAG(dag_id, schedule=None, catchup=False, params={"ids": Param([], type="array")}):
        EvoLinkGenerationSensor.partial(
            task_id="collect", evolink_conn_id="bench", poll_interval=1, end_in_triggerer=end_in_triggerer
        ).expand(generation_id=[f"{{{{ params.ids[{number}] }}}}" for number in range(8)])
