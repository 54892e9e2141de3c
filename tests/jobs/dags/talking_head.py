# SPDX-License-Identifier: Apache-2.0
"""A voice reads a text, and a portrait speaks with it."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

FOLDER = "s3://shop@videos/news/{{ ds }}"

with DAG("talking_head", schedule="@daily", default_args={"retries": 2, "destination": FOLDER}):
    voice = EvoLinkGenerateOperator(
        task_id="voice",
        model="qwen-audio-3.1-tts-flash",
        parameters={"input": "Good morning. It is {{ ds }}, and the sun is shining."},
        filename_pattern="voice.{ext}",
    )
    EvoLinkGenerateOperator(
        task_id="video",
        model="omnihuman-1.5",
        parameters={"audio_url": voice.output, "image_urls": ["s3://shop@videos/portrait.png"]},
        filename_pattern="news.{ext}",
    )
