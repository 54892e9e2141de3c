# SPDX-License-Identifier: Apache-2.0
"""A video whose task waits as EvoLink asks, and gives up at once when the credits have run out."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.retry import evolink_retry_policy

with DAG("credits_run_out", schedule=None, default_args={"retries": 5, "retry_policy": evolink_retry_policy()}):
    EvoLinkGenerateOperator(
        task_id="video",
        model="gemini-omni-flash-text-to-video",
        parameters={"prompt": "Waves roll in. No dialogue."},
        destination="s3://shop@videos/waves",
    )
