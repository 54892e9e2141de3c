# SPDX-License-Identifier: Apache-2.0
"""A video for each picture in a bucket's folder, next to the pictures' names."""

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator

with DAG("bucket_pictures", schedule="@daily", default_args={"retries": 2}):

    @task
    def pictures():
        folder = ObjectStoragePath("s3://shop@videos/inbox")
        return [{"name": path.stem, "image": path} for path in folder.iterdir() if path.suffix == ".png"]

    EvoLinkBatchOperator(
        task_id="videos",
        model="gemini-omni-flash-image-to-video",
        requests=pictures(),
        key="name",
        destination="s3://shop@videos/outbox",
        filename_pattern="{name}.{ext}",
        parameters={"prompt": "The camera moves in slowly. No dialogue.", "duration": 3},
    )
