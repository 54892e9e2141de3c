# SPDX-License-Identifier: Apache-2.0
"""A video from its first to its last picture, both on the worker's disk."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator

with DAG("first_and_last_frame", schedule=None, default_args={"retries": 2}) as dag:
    EvoLinkImageToVideoOperator(
        task_id="bloom",
        model="kling-v3-image-to-video",
        prompt="The bud opens",
        image="{{ var.value.media }}/bud.png",
        last_image="{{ var.value.media }}/flower.png",
        duration=5,
        destination="{{ var.value.media }}/bloom",
    )
