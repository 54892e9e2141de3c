# SPDX-License-Identifier: Apache-2.0
"""A video for each product of a table that has none yet, named by its SKU, and what each has cost in another table."""

import json
import sqlite3

from airflow.sdk import DAG, ObjectStoragePath, Variable, task

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator

with DAG("product_videos", schedule="@daily", default_args={"retries": 2}):

    @task
    def products():
        with sqlite3.connect(Variable.get("shop_db")) as shop:
            rows = shop.execute("SELECT sku, image, prompt FROM products")
            return [{"sku": sku, "image": image, "prompt": prompt} for sku, image, prompt in rows]

    videos = EvoLinkBatchOperator(
        task_id="videos",
        model="gemini-omni-flash-image-to-video",
        requests=products(),
        key="sku",
        destination="s3://shop@videos/products",
        filename_pattern="{key}.{ext}",
        parameters={"duration": 5},
    )

    @task
    def note(summary):
        manifest = ObjectStoragePath(summary["manifest"], conn_id="shop")
        with manifest.open(encoding="utf-8") as lines, sqlite3.connect(Variable.get("shop_db")) as shop:
            rows = [json.loads(line) for line in lines]
            made = [(row["key"], row["uris"][0], row["credits"]) for row in rows if row["status"] == "landed"]
            shop.executemany("INSERT INTO videos VALUES (?, ?, ?)", made)

    note(videos.output)
