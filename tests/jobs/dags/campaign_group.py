# SPDX-License-Identifier: Apache-2.0
"""A mapped group: for each row of a plan, a picture and a video of it, each by the models that the row names."""

from airflow.sdk import DAG, task, task_group

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator

with DAG("campaign_group", schedule=None, default_args={"retries": 2, "destination": "s3://shop@videos/campaign"}):

    @task
    def plan():
        return [
            {"subject": "A blue mug", "picture_model": "gpt-image-2", "video_model": "kling-v3-image-to-video"},
            {"subject": "A lamp", "picture_model": "z-image-turbo", "video_model": "gemini-omni-flash-image-to-video"},
        ]

    @task_group
    def advert(subject, picture_model, video_model):
        picture = EvoLinkGenerateOperator(task_id="picture", model=picture_model, parameters={"prompt": subject})
        EvoLinkImageToVideoOperator(task_id="video", model=video_model, prompt="It turns slowly.", image=picture.output)

    advert.expand_kwargs(plan())
