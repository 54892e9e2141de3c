# SPDX-License-Identifier: Apache-2.0
"""The task that the rows in the database belong to; it never runs."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("bench_wait", schedule=None, catchup=False):
    EmptyOperator(task_id="wait")
