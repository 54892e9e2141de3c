# SPDX-License-Identifier: Apache-2.0
"""A thumbnail of each picture of a table, and a page's table of thumbnails with their alt texts."""

import csv
import json

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator

FOLDER = "s3://shop@videos/thumbnails"

with DAG("thumbnails", schedule=None, default_args={"retries": 2}):
    thumbnails = EvoLinkBatchOperator(
        task_id="thumbnails",
        model="gpt-image-2",
        requests=f"{FOLDER}/pictures.csv",  # name, image, alt
        key="name",
        destination=FOLDER,
        filename_pattern="{key}.{ext}",
        parameters={"prompt": "The same picture as a thumbnail on a plain background", "size": "1:1", "quality": "low"},
        max_failed=0.1,
    )

    @task
    def table(summary):
        folder = ObjectStoragePath(FOLDER)
        with (folder / "pictures.csv").open(encoding="utf-8") as rows:
            alt = {row["name"]: row["alt"] for row in csv.DictReader(rows)}
        with ObjectStoragePath(summary["manifest"], conn_id="shop").open(encoding="utf-8") as lines:
            made = [line for line in map(json.loads, lines) if line["uris"]]
        with (folder / "thumbnails.csv").open("w", encoding="utf-8") as file:
            csv.writer(file).writerows((line["key"], line["uris"][0], alt[line["key"]]) for line in made)

    table(thumbnails.output)
