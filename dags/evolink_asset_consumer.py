# SPDX-License-Identifier: Apache-2.0
"""### Whatever follows a video

Shows a DAG that runs when videos have landed: it is scheduled by the asset events of `evolink_scheduled_content` and
reads from each event which file landed where, what it shows and what it cost.

On Airflow 3.3 a run gets all events since the last one. **Airflow 3.4 starts one run per event**: three prompts are
three runs, a batch of a thousand rows is a thousand. This DAG is right in both cases, since it goes through however
many events it gets. For one run with all that have piled up, as on 3.3, write
`schedule=AssetTriggeredTimetable(VIDEOS, batch_asset_events=True)` there, or set `[scheduler] batch_asset_events` for
all DAGs. For one run per table, let the task that lands announce an `Asset` instead: that is one event, however many
files it has.

**Costs** nothing: it generates nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, task

VIDEOS = AssetAlias("evolink_videos", group="evolink")
SCHEDULED_CONTENT = Asset("evolink_scheduled_content", uri="evolink://scheduled-content/videos", group="evolink")

with DAG(
    dag_id="evolink_asset_consumer",
    schedule=[VIDEOS],
    description="Runs whenever videos have landed: costs nothing",
    doc_md=__doc__,
    tags=["evolink", "example"],
):
    # As an inlet, the asset shows this task among those that consume it.
    @task(inlets=[SCHEDULED_CONTENT])
    def catalog(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Return an entry for each video that landed since the last run."""
        return [dict(event.extra) for event in triggering_asset_events[VIDEOS]]

    catalog()
