# SPDX-License-Identifier: Apache-2.0
"""
### A video for each of many prompts, as many at a time as you like

Shows fan-out at scale: a group of two tasks, mapped over a list that is only known when the DAG runs. Each video is
landed as soon as it is completed; were the two tasks mapped one after the other, the first would wait for the last, and
results are kept by EvoLink for a day. The pool `evolink` bounds how many are under way at EvoLink, over all DAGs,
since it counts deferred tasks too. `docs/scale.md` says what this costs.

**Costs** one generation of three seconds for each prompt, about 30 credits each.

**Needs** the connection `evolink_default`, and the pool, made once:
`airflow pools set evolink 200 "generations under way at EvoLink" --include-deferred`. More than 1,024 prompts in one
run need `[core] max_map_length`.
"""

from __future__ import annotations

import tempfile
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task, task_group

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

PROMPTS = [
    "A kite over a windy beach. No dialogue.",
    "Rain on the window of a night train. No dialogue.",
    "A cat wakes up in the sun. No dialogue.",
]

with DAG(
    dag_id="evolink_fan_out",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["evolink", "example"],
    # What is completed is landed before more is submitted.
    default_args={"retries": 3, "weight_rule": "upstream"},
    params={
        "prompts": Param(PROMPTS, type="array", items={"type": "string"}),
        "destination": Param(f"file://{tempfile.gettempdir()}/evolink", type="string"),
    },
):

    @task
    def orders() -> list[dict[str, Any]]:
        """List the parameters of each generation; yours may come from a table or a file."""
        return [{"prompt": prompt, "duration": 3} for prompt in get_current_context()["params"]["prompts"]]

    @task_group
    def video(parameters: Any) -> None:
        """Make and land one."""
        generate = EvoLinkGenerateOperator(
            task_id="generate", model="gemini-omni-flash-text-to-video", parameters=parameters, pool="evolink"
        )
        EvoLinkToObjectStorageOperator(
            task_id="land", generation=generate.output, destination="{{ params.destination }}"
        )

    video.expand(parameters=orders())
