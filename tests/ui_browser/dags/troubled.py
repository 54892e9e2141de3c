# SPDX-License-Identifier: Apache-2.0
"""A DAG whose tasks have not landed: refused input, a missing connection, a retry to come, and a batch under way."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

MODEL = "gemini-omni-flash-text-to-video"
PROMPTS = ["A lighthouse at dawn", "Waves roll in", "A kite over dunes"]

with DAG("troubled", schedule=None, params={"duration": 3}):
    parameters = {"prompt": PROMPTS[0], "duration": "{{ params.duration * 100 }}"}
    EvoLinkGenerateOperator(task_id="too_long", model=MODEL, parameters=parameters)
    EvoLinkGenerateOperator(
        task_id="no_connection", model=MODEL, parameters={"prompt": PROMPTS[1]}, evolink_conn_id="evolink_marketing"
    )
    EvoLinkGenerateOperator(
        task_id="no_storage",
        model=MODEL,
        parameters={"prompt": PROMPTS[2]},
        destination="s3://archive@videos/kites",
        retries=1,
        retry_delay=timedelta(hours=1),
    )
    EvoLinkBatchOperator(
        task_id="three_videos",
        model=MODEL,
        key="id",
        requests=[{"id": f"v{number}", "prompt": prompt, "duration": 3} for number, prompt in enumerate(PROMPTS)],
        destination=os.environ["LANDED"],
        max_in_flight=1,
    )
