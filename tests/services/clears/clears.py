# SPDX-License-Identifier: Apache-2.0
"""Tasks that pay, in every form that a user can clear."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

MODEL = "gemini-omni-flash-text-to-video"
PARAMETERS: dict[str, Any] = {"prompt": "A lighthouse", "duration": 3}

with DAG("plain"):
    generate = EvoLinkGenerateOperator(task_id="pay", model=MODEL, parameters=PARAMETERS, poll_interval=1)

    @task
    def after(record: dict[str, Any]) -> str:
        """Run downstream."""
        return str(record["generation_id"])

    after(generate.output)

with DAG("mapped"):
    EvoLinkGenerateOperator.partial(task_id="pay", model=MODEL, poll_interval=1).expand(
        parameters=[PARAMETERS, {**PARAMETERS, "prompt": "A harbor"}]
    )

with DAG("not_waiting"):
    EvoLinkGenerateOperator(task_id="pay", model=MODEL, parameters=PARAMETERS, wait_for_completion=False)

with DAG("by_hand"):

    @task
    def pay() -> list[str]:
        """Execute an operator twice inside this task."""
        context = get_current_context()
        calls = [
            EvoLinkGenerateOperator(task_id="by_hand", model=MODEL, parameters=PARAMETERS, poll_interval=1)
            for _ in range(2)
        ]
        return [call.execute(context)["generation_id"] for call in calls]

    pay()
