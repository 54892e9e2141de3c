# SPDX-License-Identifier: Apache-2.0
"""Waits for a generation that somebody has submitted by hand, and lands it."""

from airflow.sdk import DAG

from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

with DAG("made_by_hand", schedule=None, params={"generation_id": ""}):
    made = EvoLinkGenerationSensor(task_id="made", generation_id="{{ params.generation_id }}")
    EvoLinkToObjectStorageOperator(task_id="land", generation=made.output, destination="s3://shop@videos/by-hand")
