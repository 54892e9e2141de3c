# SPDX-License-Identifier: Apache-2.0
"""### Turn an image and a prompt into a video in your own storage

Shows the whole path: **generate** submits once and waits in the triggerer, without occupying a worker slot; **land**
copies the video from EvoLink's link, which expires after 24 hours, to `destination`; **publish** posts its location
to a webhook.

**Costs** one generation of five seconds per run, about 50 credits (EvoLink's own example, ten seconds, costs 102.34
credits; 68 credits are about 1 USD). Retrying or clearing the task costs nothing more.

**Needs** the connections `evolink_default` (type `evolink`, API key in the password field) and `publish_webhook` (type
`http`, the webhook to post to). `image` is a public link, a path on the worker or a storage URI; `destination` is any
folder Airflow can write to, such as `s3://my_conn@bucket/videos`.
"""

from __future__ import annotations

import tempfile

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG, Param

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

# Rendered on the worker: a path in a default of `params` would be one of the dag-processor's machine.
PICTURE = "{{ params.image or dag.folder ~ '/pictures/lighthouse.png' }}"

with DAG(
    dag_id="evolink_image_to_video",
    schedule=None,
    description="An image and a prompt become a video in your own storage: about 50 credits a run",
    doc_md=__doc__,
    tags=["evolink", "example"],
    default_args={"retries": 2},
    params={
        "prompt": Param(
            "The camera drifts slowly towards the lighthouse while waves roll in. No dialogue.",
            type="string",
            minLength=1,
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
        "aspect_ratio": Param(
            "16:9", enum=["16:9", "9:16", "auto"], description="Format of the video; auto lets the model decide."
        ),
        "destination": Param(
            f"file://{tempfile.gettempdir()}/evolink",
            type="string",
            description="Folder to save the video in, such as s3://my_conn@bucket/videos.",
        ),
    },
):
    generate = EvoLinkImageToVideoOperator(
        task_id="generate",
        prompt="{{ params.prompt }}",
        image=PICTURE,
        duration=5,
        aspect_ratio="{{ params.aspect_ratio }}",
    )
    land = EvoLinkToObjectStorageOperator(
        task_id="land",
        generation=generate.output,
        destination="{{ params.destination }}",
    )
    publish = HttpOperator(
        task_id="publish",
        http_conn_id="publish_webhook",
        method="POST",
        headers={"Content-Type": "application/json"},
        data="{{ ti.xcom_pull(task_ids='land') | tojson }}",
    )
    land >> publish
