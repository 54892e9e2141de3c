# SPDX-License-Identifier: Apache-2.0
"""A video whose failure is posted with its id, EvoLink's code and its credits."""

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG

from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator


def post_failure(context):
    error = context.get("exception")
    alert = {name: getattr(error, name, None) for name in ("generation_id", "code", "credits_reserved", "credits_used")}
    HttpHook(http_conn_id="alerts").run(json={"task": context["ti"].task_id, "error": str(error), **alert})


with DAG("alert", schedule=None, default_args={"retries": 2, "on_failure_callback": post_failure}):
    EvoLinkImageToVideoOperator(
        task_id="video",
        prompt="The lamp turns slowly. No dialogue.",
        image="https://example.com/lighthouse.jpg",
        destination="s3://shop@videos/alert",
    )
