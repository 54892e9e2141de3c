# SPDX-License-Identifier: Apache-2.0
"""### A person approves each video before it is published

Shows a generation that is landed first, because EvoLink's links expire while the reviewer may be on vacation. The run
then waits in Airflow's UI (*Required Actions*) for approval and publishes only after that. Rejecting skips the
publication; the video stays where it landed.

**Costs** one generation of five seconds per run, about 50 credits; waiting for approval costs nothing.

**Needs** the connections `evolink_default` and `publish_webhook` (type `http`). The reviewer sees four frames of the
video with the extra `posters`, and can watch it if `[evolink] gallery_roots` has its destination.
"""

from __future__ import annotations

import tempfile

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

# Rendered on the worker: a path in a default of `params` would be one of the dag-processor's machine.
PICTURE = "{{ params.image or dag.folder ~ '/pictures/lighthouse.png' }}"

with DAG(
    dag_id="evolink_content_review",
    schedule=None,
    description="A person approves each video before it is published: about 50 credits a run",
    doc_md=__doc__,
    tags=["evolink", "example"],
    default_args={"retries": 2},
    params={
        "prompt": Param(
            "Clouds pass over the lighthouse, its lamp begins to turn. No dialogue.",
            type="string",
            description="What happens in the video, in English or Chinese.",
        ),
        "image": Param(
            None,
            type=["null", "string"],
            description=(
                "Public link, path on the worker, or storage URI of a PNG, JPEG or WebP image; empty: "
                "pictures/lighthouse.png beside this file."
            ),
        ),
        "destination": Param(
            f"file://{tempfile.gettempdir()}/evolink",
            type="string",
            description="Folder to save the video in, such as s3://my_conn@bucket/videos.",
        ),
    },
):
    generate = EvoLinkImageToVideoOperator(task_id="generate", prompt="{{ params.prompt }}", image=PICTURE, duration=5)
    land = EvoLinkToObjectStorageOperator(
        task_id="land", generation=generate.output, destination="{{ params.destination }}"
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Publish this video?",
        # Four frames of the video, which lead to the tab that plays it, and what it has cost.
        body=(
            "{{ params.prompt }}\n\n"
            "{{ macros.evolink.poster(ti, 'land') }}\n\n"
            "{{ macros.evolink.watch(ti, 'land', text='Watch the video') }}. It has cost "
            "{{ ti.xcom_pull(task_ids='generate').usage.credits_used or 'an unknown number of' }} credits."
        ),
    )
    publish = HttpOperator(
        task_id="publish",
        http_conn_id="publish_webhook",
        method="POST",
        headers={"Content-Type": "application/json"},
        data="{{ ti.xcom_pull(task_ids='land') | tojson }}",
    )
    land >> approve >> publish
