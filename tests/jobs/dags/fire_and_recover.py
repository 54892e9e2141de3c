# SPDX-License-Identifier: Apache-2.0
"""One DAG submits and does not wait; another lands whatever the account has made and nobody has landed."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator

with DAG("fire", schedule=None):
    EvoLinkGenerateOperator(
        task_id="fire",
        model="gemini-omni-flash-text-to-video",
        parameters={"prompt": "Waves roll in. No dialogue."},
        wait_for_completion=False,
    )

with DAG("recover", schedule="@hourly"):
    EvoLinkRecoverOperator(task_id="recover", destination="s3://shop@videos/recovered", min_age=0, retries=2)
