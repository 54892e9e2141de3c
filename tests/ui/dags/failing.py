# SPDX-License-Identifier: Apache-2.0
"""A DAG for each way to fail."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

MODEL = "gemini-omni-flash-text-to-video"
PARAMETERS = {"prompt": "A lighthouse", "duration": "{{ params.duration }}"}


def dag(name: str, **params: Any) -> DAG:
    """Return a DAG whose only task fails."""
    return DAG(f"fails_{name}", schedule=None, params={"duration": 3, "folder": "/nowhere", **params})


with dag("generation"):
    EvoLinkGenerateOperator(task_id="make", model=MODEL, parameters=PARAMETERS)

with dag("timeout"):
    EvoLinkGenerateOperator(task_id="make", model=MODEL, parameters=PARAMETERS, timeout=2)

with dag("landing"):
    EvoLinkGenerateOperator(task_id="make", model=MODEL, parameters=PARAMETERS, destination="{{ params.folder }}")

with dag("connection"):
    EvoLinkGenerateOperator(task_id="make", model=MODEL, parameters=PARAMETERS, evolink_conn_id="nowhere")

with dag("storage"):
    EvoLinkGenerateOperator(task_id="make", model=MODEL, parameters=PARAMETERS, destination="s3://nowhere@videos/x")

with dag("sensor"):
    EvoLinkGenerationSensor(task_id="make", generation_id="task-unified-1-unknown", evolink_conn_id="nowhere")

with dag("transfer"):
    EvoLinkToObjectStorageOperator(task_id="make", generation="task-unified-1-x", destination="s3://nowhere@videos/x")

with dag("batch"):
    rows = [{"sku": "a", "prompt": "A lighthouse", "duration": "{{ params.duration }}"}]
    EvoLinkBatchOperator(task_id="make", model=MODEL, requests=rows, key="sku", destination="{{ params.folder }}")

with dag("template"):
    EvoLinkGenerateOperator(task_id="make", model=MODEL, parameters={"prompt": "{{ params.nothing.at_all }}"})

with dag("mapped"):
    EvoLinkGenerateOperator.partial(task_id="make", model=MODEL).expand(
        parameters=[{"prompt": "A gull", "duration": 3}, {"prompt": "A kite", "duration": 999}]
    )

with dag("hook"):

    @task
    def make() -> None:
        """Call the hook."""
        EvoLinkHook("nowhere").get_credits()

    make()

with dag("secret"):

    @task
    def make_with_a_secret() -> None:
        """Fail with an error that quotes the API key."""
        hook = EvoLinkHook()
        hook.generate(hook.settings.api_key, {}, key="one")

    make_with_a_secret.override(task_id="make")()

with dag("elsewhere"):

    @task(task_id="make")
    def fail() -> None:
        """Fail by itself."""
        raise RuntimeError("not of EvoLink")

    fail()
