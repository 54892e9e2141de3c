# SPDX-License-Identifier: Apache-2.0
"""Images to videos to files, mapped one to one, with nothing but the provider's own operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task_group

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from tests.chaos.prompts import video_arguments

PICTURE = Path(__file__).parents[3] / "dags" / "pictures" / "lighthouse.png"

with DAG(
    "chaos",
    schedule=None,
    catchup=False,
    max_active_tasks=64,
    # Land before submitting more, so that all steps run at the same time.
    default_args={"retries": 40, "retry_delay": 1, "weight_rule": "upstream"},
    params={"destination": Param(type="string")},
):

    @task_group
    def video(prompt: Any, duration: Any, aspect_ratio: Any) -> None:
        """Generate and land one video."""
        generate = EvoLinkImageToVideoOperator(
            task_id="generate",
            prompt=prompt,
            image=str(PICTURE),
            duration=duration,
            aspect_ratio=aspect_ratio,
            poll_interval=2,
        )
        EvoLinkToObjectStorageOperator(
            task_id="land", generation=generate.output, destination="{{ params.destination }}"
        )

    video.expand_kwargs(video_arguments())
