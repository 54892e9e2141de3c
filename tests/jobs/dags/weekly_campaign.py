# SPDX-License-Identifier: Apache-2.0
"""Every Monday a video for each channel; whenever they have landed, another DAG lists them."""

import pendulum
from airflow.sdk import DAG, AssetAlias, task

from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

CAMPAIGN = AssetAlias("campaign")

with DAG(
    "weekly_campaign",
    schedule="0 6 * * MON",
    start_date=pendulum.datetime(2026, 11, 1),
    catchup=False,
    default_args={"retries": 2},
    params={"subject": "A lighthouse"},
):
    EvoLinkGenerateOperator.partial(
        task_id="video",
        model="gemini-omni-flash-text-to-video",
        destination="s3://shop@videos/{{ ds }}",
        outlets=[CAMPAIGN],
        map_index_template="{{ task.parameters['aspect_ratio'] }}",
    ).expand(
        parameters=[
            {"prompt": "{{ params.subject }} on a Monday morning", "aspect_ratio": ratio} for ratio in ("16:9", "9:16")
        ]
    )

with DAG("weekly_publishing", schedule=CAMPAIGN):

    @task(inlets=[CAMPAIGN])
    def publish(*, inlet_events):
        return [event.asset.uri for event in inlet_events[CAMPAIGN]]

    publish()
