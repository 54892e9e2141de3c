# SPDX-License-Identifier: Apache-2.0
"""### Every hour, land what the account has paid for and nobody has landed

Shows recovery: generations that were started by another tool or on EvoLink's web page, that belong to a run which was
deleted, or whose answer was lost, land in a folder of their own before their links expire, which most do after 24
hours. What other tasks have landed is left alone if they announce it to the alias `evolink_videos`, as that of
`evolink_scheduled_content` does, and a generation is left to the task that has submitted it for a quarter of an hour.

**Costs** nothing: it submits nothing, and reads are free.

**Needs** the connection `evolink_default`.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, AssetAlias, Param

from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator

with DAG(
    dag_id="evolink_recover",
    description="Lands what the account has paid for and nobody has landed: costs nothing",
    schedule="@hourly",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    doc_md=__doc__,
    tags=["evolink", "example"],
    default_args={"retries": 2},
    params={
        "destination": Param(
            f"file://{tempfile.gettempdir()}/evolink/recovered",
            type="string",
            description="Folder to save the files in, such as s3://my_conn@bucket/recovered.",
        )
    },
):
    EvoLinkRecoverOperator(
        task_id="recover",
        destination="{{ params.destination }}",
        min_age=timedelta(minutes=15),
        inlets=[AssetAlias("evolink_videos", group="evolink")],
        outlets=[AssetAlias("evolink_recovered", group="evolink")],
    )
