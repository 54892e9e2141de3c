# SPDX-License-Identifier: Apache-2.0
"""One task for each success and each failure; its connection leads to an EvoLink that causes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.retry import evolink_retry_policy
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

PARAMS = ("prompt", "callback_url", "bad_callback_url", "sensed", "echoed", "dead", "folder")


def generate(task_id: str, duration: int = 3, **arguments: Any) -> None:
    """Add a task that submits a short video."""
    EvoLinkGenerateOperator(
        task_id=task_id,
        evolink_conn_id=f"evolink_{task_id}",
        model="gemini-omni-flash-text-to-video",
        parameters={"prompt": "{{ params.prompt }}", "duration": duration},
        poll_interval=1,
        **arguments,
    )


with DAG(
    "secret_cases",
    schedule=None,
    catchup=False,
    params={name: Param(type="string") for name in PARAMS},
):
    generate("stored")
    generate("marked")
    generate("deadline", timeout=12)
    generate("moderated")
    generate("wrong_key")
    generate("no_credits")
    generate("denied")
    generate("lost_response")
    generate("slowed", retries=1, retry_delay=timedelta(hours=1), retry_policy=evolink_retry_policy())
    generate("html")
    generate("bad_parameter", duration=99)
    generate("callback", wait_for_completion=False, callback_url="{{ params.callback_url }}")
    generate(
        "hidden_callback",
        wait_for_completion=False,
        callback_url="https://hooks.example.com/evolink?token={{ conn.callback_token.password }}",
    )
    generate("bad_callback", callback_url="{{ params.bad_callback_url }}")
    for name in ("sensed", "echoed"):
        EvoLinkGenerationSensor(
            task_id=name,
            evolink_conn_id=f"evolink_{name}",
            generation_id=f"{{{{ params.{name} }}}}",
            poll_interval=1,
        )
    EvoLinkToObjectStorageOperator(
        task_id="dead_link",
        evolink_conn_id="evolink_dead_link",
        generation="{{ params.dead }}",
        destination="{{ params.folder }}",
    )
