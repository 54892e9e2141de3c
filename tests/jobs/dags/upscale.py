# SPDX-License-Identifier: Apache-2.0
"""Upscales a video that has landed."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

with DAG("upscale", schedule=None, params={"video": "s3://shop@videos/rough/sea.mp4"}, default_args={"retries": 2}):
    EvoLinkGenerateOperator(
        task_id="upscale",
        model="topaz-video-upscale",
        parameters={"video_urls": ["{{ params.video }}"], "model_params": {"upscale_factor": 2}},
        destination="s3://shop@videos/fine",
        filename_pattern="{{ params.video.rpartition('/')[2] }}",
    )
