# SPDX-License-Identifier: Apache-2.0
"""A song and a video for it, in the same folder."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

with DAG(
    "music_and_video", schedule=None, default_args={"retries": 2, "destination": "s3://shop@videos/clips/{{ ds }}"}
):
    EvoLinkGenerateOperator(
        task_id="song",
        model="suno-v5-beta",
        parameters={"prompt": "A calm song about the sea", "instrumental": True},
        filename_pattern="song-{role}-{index}.{ext}",
    )
    EvoLinkGenerateOperator(
        task_id="video",
        model="gemini-omni-flash-text-to-video",
        parameters={"prompt": "Waves roll in. No dialogue.", "duration": 10},
        filename_pattern="video.{ext}",
    )
