# SPDX-License-Identifier: Apache-2.0
"""### Every morning, one video for each prompt of a list

Shows mapped generations: one task instance per prompt, each paid for exactly once. The pool `evolink` limits how many
generations are in progress at EvoLink, because it counts deferred tasks, too. The task that generates a video also
lands it, in a folder for the day of its run, and emits an asset event with its URI, size, SHA-256, prompt and price,
which schedules `evolink_asset_consumer`. Airflow's assets page lists each video under a name with its day, and under
`evolink_scheduled_content` the tasks that make and that use them.

**Costs** one generation of three seconds per prompt and day, about 30 credits each.

**Needs** the connection `evolink_default`, and the pool, created once with
`airflow pools set evolink 4 "generations in progress at EvoLink" --include-deferred`.
"""

from __future__ import annotations

import tempfile

import pendulum
from airflow.sdk import DAG, Asset, AssetAlias, Param

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

VIDEOS = AssetAlias("evolink_videos", group="evolink")
SCHEDULED_CONTENT = Asset("evolink_scheduled_content", uri="evolink://scheduled-content/videos", group="evolink")
DAY = "{{ (dag_run.logical_date or dag_run.run_after).strftime('%Y-%m-%d') }}"
PROMPTS = [
    "Sunrise over a quiet harbor, gulls pass by. No dialogue.",
    "清晨的茶园,薄雾缓缓流动。无对白。",
    "A paper boat drifts down a rain-soaked street. No dialogue.",
]

with DAG(
    dag_id="evolink_scheduled_content",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    description="Every morning, a video for each prompt of a list: about 30 credits each",
    doc_md=__doc__,
    tags=["evolink", "example"],
    default_args={"retries": 2},
    params={
        "destination": Param(
            f"file://{tempfile.gettempdir()}/evolink",
            type="string",
            description="Folder to save the videos in, such as s3://my_conn@bucket/videos.",
        )
    },
):
    EvoLinkGenerateOperator.partial(
        task_id="video",
        model="gemini-omni-flash-text-to-video",
        pool="evolink",
        map_index_template="{{ task.parameters.prompt[:40] }}",
        destination="{{ params.destination }}/" + DAY,
        asset_name="scheduled-content/" + DAY + "/{generation_id}",
        outlets=[VIDEOS, SCHEDULED_CONTENT],
    ).expand(parameters=[{"prompt": prompt, "duration": 3} for prompt in PROMPTS])
