# SPDX-License-Identifier: Apache-2.0
"""### A video for each product of a table

Shows a batch: **rows** reads a table of products, **videos** is a single task that generates one video for each of
them, lands it under the product's key and writes a manifest, and **report** reads that manifest. Thousands of rows
need no more tasks than three: `docs/how-to/table.md` has the details, `docs/explanation/scale.md` says when to map
tasks instead.

A tenth of the videos may fail before the task does, so that one rejected picture does not hold up the others; the
report lists them. Clearing **videos** generates what is missing, and nothing else.

**Costs** one generation of three seconds per product, about 30 credits each, and never more than `max_credits` in
total. Products whose video is there already cost nothing.

**Needs** the connection `evolink_default`.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, get_current_context, task

from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator

MANIFEST = "manifest.jsonl"

with DAG(
    dag_id="evolink_product_videos",
    schedule=None,
    description="A video for each product of a table, in one task: about 30 credits each",
    doc_md=__doc__,
    tags=["evolink", "example"],
    default_args={"retries": 2},
    params={
        "table": Param(
            None,
            type=["null", "string"],
            description=(
                "Path or URI of a CSV file with the columns sku, image (relative to the table) and prompt; empty: "
                "products.csv beside this file."
            ),
        ),
        "destination": Param(
            f"file://{tempfile.gettempdir()}/evolink/products",
            type="string",
            description=(
                "Folder to save the videos in, such as s3://my_conn@bucket/videos; if there are several workers, one "
                "that all of them see."
            ),
        ),
        "max_in_flight": Param(
            100, type="integer", minimum=1, maximum=10_000, description="Generations in progress at EvoLink at a time."
        ),
        "max_credits": Param(1000, type="number", minimum=1, description="Credits that a run may cost in total."),
    },
):

    @task
    def rows() -> list[dict[str, Any]]:
        """Return a row for each product; yours may come from a query."""
        # On the worker: a path in a default of `params` would be one of the dag-processor's machine.
        default = Path(__file__).parent / "products.csv"
        table = ObjectStoragePath(get_current_context()["params"]["table"] or str(default))
        products = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
        return [product | {"image": str(table.parent / product["image"])} for product in products]

    videos = EvoLinkBatchOperator(
        task_id="videos",
        model="gemini-omni-flash-image-to-video",
        requests=rows(),
        key="sku",
        destination="{{ params.destination }}",
        filename_pattern="{key}-{index}.{ext}",
        parameters={"duration": 3},
        max_in_flight="{{ params.max_in_flight }}",
        max_credits="{{ params.max_credits }}",
        max_failed=0.1,
        manifest=MANIFEST,
    )

    @task
    def report() -> dict[str, Any]:
        """Return where each video is, and why each of the others is missing."""
        folder = ObjectStoragePath(get_current_context()["params"]["destination"])
        products = [json.loads(line) for line in io.StringIO((folder / MANIFEST).read_text(encoding="utf-8"))]
        return {
            "videos": {product["key"]: product["uris"] for product in products if not product["error"]},
            "missing": {product["key"]: product["error"]["text"] for product in products if product["error"]},
        }

    videos >> report()
