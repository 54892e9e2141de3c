# SPDX-License-Identifier: Apache-2.0
"""Tasks that pay, and so remember what for: a single one, a mapped one, a batch, and Python code that calls others."""

from __future__ import annotations

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

MODEL = "z-image-turbo"

with DAG("paying", schedule=None, params={"destination": Param("", type="string")}):
    EvoLinkGenerateOperator(task_id="single", model=MODEL, parameters={"prompt": "A lighthouse"})
    EvoLinkGenerateOperator.partial(task_id="mapped", model=MODEL).expand(
        parameters=[{"prompt": "A harbor"}, {"prompt": "The sea"}]
    )
    EvoLinkBatchOperator(
        task_id="batch",
        model=MODEL,
        requests=[{"sku": "A1", "prompt": "A gull"}, {"sku": "A2", "prompt": "A boat"}],
        key="sku",
        destination="{{ params.destination }}",
    )

    @task
    def python() -> None:
        """Pay for one generation with the hook, and for one with an operator executed by hand."""
        EvoLinkHook().generate(MODEL, {"prompt": "A buoy"}, key="cover")
        by_hand = EvoLinkGenerateOperator(task_id="of-a-batch", model=MODEL, parameters={"prompt": "A pier"})
        by_hand.execute(get_current_context())

    python()
