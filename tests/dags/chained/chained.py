# SPDX-License-Identifier: Apache-2.0
"""Chained tasks: mapped ones pass a lazy sequence of links on, templates pass links and numbers as text."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator

with DAG("chained", schedule=None, params={"seconds": Param(4, type="integer")}):
    pictures = EvoLinkGenerateOperator.partial(task_id="pictures", model="gpt-image-2").expand(
        parameters=[{"prompt": "A lighthouse"}, {"prompt": "The sea"}]
    )
    EvoLinkGenerateOperator(
        task_id="video_of_all",
        model="gemini-omni-flash-reference-to-video",
        parameters={
            "prompt": "Waves roll in",
            "image_urls": pictures.output["result_link"],
            "duration": "{{ params.seconds }}",
        },
    )
    picture = EvoLinkGenerateOperator(task_id="picture", model="gpt-image-2", parameters={"prompt": "A gull"})
    from_link = EvoLinkImageToVideoOperator(
        task_id="video_of_one",
        prompt="It flies off",
        image="{{ ti.xcom_pull('picture')['results'][0] }}",
        duration="{{ params.seconds }}",
        callback_url="http://127.0.0.1:9/done",
    )
    picture >> from_link
