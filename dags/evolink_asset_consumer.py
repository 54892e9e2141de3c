# SPDX-License-Identifier: Apache-2.0
"""### Whatever follows a video

Shows a DAG that runs when videos have landed: it is scheduled by the asset events of `evolink_scheduled_content` and
reads from each event which file landed where.

**Costs** nothing: it generates nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, AssetAlias, task

VIDEOS = AssetAlias("evolink_videos")

with DAG(
    dag_id="evolink_asset_consumer",
    schedule=[VIDEOS],
    description="Runs whenever videos have landed: costs nothing",
    doc_md=__doc__,
    tags=["evolink", "example"],
):

    @task
    def catalog(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Return an entry for each video that landed since the last run."""
        return [dict(event.extra) for event in triggering_asset_events[VIDEOS]]

    catalog()
