# SPDX-License-Identifier: Apache-2.0
"""A video from three local pictures, and an edit of a local video."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

MEDIA = "{{ var.value.media }}"

with DAG("references", schedule=None, default_args={"retries": 2, "destination": MEDIA + "/made"}):
    EvoLinkGenerateOperator(
        task_id="video",
        model="gemini-omni-1.1-flash-reference-to-video",
        parameters={
            "prompt": "The woman puts the hat on the table.",
            "image_urls": [f"{MEDIA}/woman.png", f"{MEDIA}/hat.jpg", f"{MEDIA}/table.webp"],
        },
    )
    EvoLinkGenerateOperator(
        task_id="edit",
        model="wan2.7-video-edit",
        parameters={"prompt": "Make it snow", "video_urls": [f"{MEDIA}/street.mp4"]},
    )
