# SPDX-License-Identifier: Apache-2.0
"""A video for each row of a table, until 500 credits are spent or only 500 are left."""

from airflow.sdk import DAG

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator

with DAG("budget", schedule=None) as dag:
    EvoLinkBatchOperator(
        task_id="videos",
        model="gemini-omni-flash-text-to-video",
        requests="{{ var.value.media }}/prompts.csv",
        key="name",
        destination="{{ var.value.media }}/videos",
        max_credits=500,
        min_credits_left=500,
    )
