# SPDX-License-Identifier: Apache-2.0
"""Everything that waits, in a DAG of a team, on a queue of its own; it lands below the folder of its params."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

TEXT = "gemini-omni-flash-text-to-video"
PARAMETERS = {"prompt": "A harbor", "duration": 3}
FOLDER = "{{ params.folder }}"

with DAG("teams", schedule=None, params={"folder": ""}, default_args={"queue": "videos"}):
    submitted = EvoLinkGenerateOperator(
        task_id="submitted", model=TEXT, parameters=PARAMETERS, wait_for_completion=False
    )
    sensed = EvoLinkGenerationSensor(task_id="sensed", generation_id=submitted.output)
    mapped = EvoLinkGenerateOperator.partial(task_id="mapped", model=TEXT).expand(parameters=[PARAMETERS])
    EvoLinkToObjectStorageOperator.partial(task_id="landed", destination=f"{FOLDER}/landed").expand(
        generation=mapped.output
    )
    EvoLinkBatchOperator(
        task_id="batch",
        model=TEXT,
        requests=[{"key": "only", **PARAMETERS}],
        key="key",
        destination=f"{FOLDER}/batch",
    )
