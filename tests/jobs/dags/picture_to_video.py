# SPDX-License-Identifier: Apache-2.0
"""A text becomes a picture, the picture a video; both land."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator

with DAG("picture_to_video", schedule=None, params={"subject": "A lighthouse"}, default_args={"retries": 2}):
    picture = EvoLinkGenerateOperator(
        task_id="picture",
        model="gpt-image-2",
        parameters={"prompt": "{{ params.subject }}, watercolor", "size": "16:9"},
        destination="s3://shop@videos/stories",
    )
    EvoLinkImageToVideoOperator(
        task_id="video",
        prompt="The camera moves in slowly. No dialogue.",
        image=picture.output,
        destination="s3://shop@videos/stories",
    )
