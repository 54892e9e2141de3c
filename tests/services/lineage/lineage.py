# SPDX-License-Identifier: Apache-2.0
"""One DAG with everything that reports lineage; its run lands below the folder of its params."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, task

from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

TEXT = "gemini-omni-flash-text-to-video"
ALIAS = AssetAlias("lineage_videos", group="evolink")
LAMPS = Asset("lamps", uri="evolink://lineage/lamps", group="evolink")
FOLDER = "{{ params.folder }}"
SHORT = {"duration": 3}


@task.evolink(model="gemini-omni-flash-image-to-video", destination=f"{FOLDER}/decorated")
def decorated(params: Any = None) -> dict[str, Any]:
    """Return the parameters."""
    return {"prompt": "Waves", "image_urls": [params["picture"]], **SHORT}


@task
def python(made: dict[str, Any], params: Any = None) -> list[str]:
    """Land from Python."""
    landed = EvoLinkHook().land(made, f"{params['folder']}/python")
    return [file["uri"] for file in landed]


with DAG("lineage", schedule=None, params={"folder": "", "picture": "", "table": ""}):
    single = EvoLinkImageToVideoOperator(
        task_id="single",
        prompt="The lamp turns. See https://example.com/brief?token=hidden",
        image="{{ params.picture }}",
        duration=3,
        destination=f"{FOLDER}/größer #1",
        asset_name="lineage/lamp",
        outlets=[ALIAS, LAMPS],
    )
    submitted = EvoLinkGenerateOperator(
        task_id="submitted", model=TEXT, parameters={"prompt": "A harbor", **SHORT}, wait_for_completion=False
    )
    collected = EvoLinkGenerationSensor(task_id="collected", generation_id=submitted.output)
    landed = EvoLinkToObjectStorageOperator(
        task_id="landed", generation=collected.output, destination=f"{FOLDER}/landed", outlets=[ALIAS]
    )
    mapped = EvoLinkGenerateOperator.partial(
        task_id="mapped", model=TEXT, destination=f"{FOLDER}/mapped", asset_name="lineage/{generation_id}",
        outlets=[ALIAS],
    ).expand(parameters=[{"prompt": "First", **SHORT}, {"prompt": "Second", **SHORT}])  # fmt: skip
    batch = EvoLinkBatchOperator(
        task_id="batch", model="gemini-omni-flash-image-to-video", requests="{{ params.table }}", key="sku",
        destination=f"{FOLDER}/batch", asset_name="shop/{key}", parameters=SHORT, outlets=[ALIAS], max_in_flight=1,
    )  # fmt: skip
    failed = EvoLinkGenerateOperator(
        task_id="failed", model=TEXT, parameters={"prompt": "Refused", **SHORT}, evolink_conn_id="evolink_refusing"
    )
    everything = [single, landed, mapped, batch, decorated(), python(collected.output), failed]
    recovered = EvoLinkRecoverOperator(
        task_id="recovered", destination=f"{FOLDER}/recovered", trigger_rule="all_done", outlets=[ALIAS]
    )
    everything >> recovered

with DAG("lineage_consumer", schedule=[ALIAS]):

    @task(inlets=[LAMPS])
    def events(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Return the assets of the events, and what the events say."""
        return [{"name": event.asset.name, **event.extra} for event in triggering_asset_events[ALIAS]]

    events()
