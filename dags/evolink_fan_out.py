# SPDX-License-Identifier: Apache-2.0
"""### One video per prompt, with a limit on how many run at once

Shows fan-out at scale: a group of two tasks, mapped over a list that is only known when the DAG runs. Each video is
landed as soon as it is complete. (If the two tasks were mapped separately, the first video would wait for the last, and
EvoLink keeps results for one day only.) The pool `evolink` limits how many generations are in progress at EvoLink,
across all DAGs, because it counts deferred tasks, too. `docs/explanation/scale.md` has the cost of this.

**Costs** one generation of three seconds per prompt, about 30 credits each.

**Needs** the connection `evolink_default`, and the pool, created once with
`airflow pools set evolink 200 "generations in progress at EvoLink" --include-deferred`. More than 1,024 prompts in one
run need a higher `[core] max_map_length`.
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
    description="A video for each prompt of a run, many at a time: about 30 credits each",
    doc_md=__doc__,
    tags=["evolink", "example"],
    # Land completed videos before submitting more.
    default_args={"retries": 3, "weight_rule": "upstream"},
    params={
        "prompts": Param(
            PROMPTS, type="array", items={"type": "string"}, description="One video is generated for each prompt."
        ),
        "destination": Param(
            f"file://{tempfile.gettempdir()}/evolink",
            type="string",
            description="Folder to save the videos in, such as s3://my_conn@bucket/videos.",
        ),
    },
):

    @task
    def orders() -> list[dict[str, Any]]:
        """Return the parameters of each generation; yours may come from a table or a file."""
        return [{"prompt": prompt, "duration": 3} for prompt in get_current_context()["params"]["prompts"]]

    @task_group
    def video(parameters: Any) -> None:
        """Generate and land one video."""
        generate = EvoLinkGenerateOperator(
            task_id="generate", model="gemini-omni-flash-text-to-video", parameters=parameters, pool="evolink"
        )
        EvoLinkToObjectStorageOperator(
            task_id="land", generation=generate.output, destination="{{ params.destination }}"
        )

    video.expand(parameters=orders())
