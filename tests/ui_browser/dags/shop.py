# SPDX-License-Identifier: Apache-2.0
"""A DAG that makes a video of each of twelve pictures, in S3, and another one that not everybody may read."""

from __future__ import annotations

import csv
import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator

TABLE = Path(os.environ["PRODUCTS"])
with TABLE.open(encoding="utf-8") as file:
    PRODUCTS = [
        {
            "prompt": row["prompt"],
            "image": str(TABLE.parent / row["image"]),
            "filename_pattern": f"{row['sku']}.{{ext}}",
        }
        for row in csv.DictReader(file)
    ]

RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}  # on a busy machine, Airflow itself fails now and then

with DAG("shop", schedule=None, default_args=RETRIES):
    EvoLinkImageToVideoOperator.partial(
        task_id="videos", destination="s3://videos_s3@videos/shop/{{ run_id }}", duration=3
    ).expand_kwargs(PRODUCTS)

with DAG("secret", schedule=None, default_args=RETRIES):
    EvoLinkImageToVideoOperator(task_id="video", destination=os.environ["LANDED"], duration=3, **PRODUCTS[0])
