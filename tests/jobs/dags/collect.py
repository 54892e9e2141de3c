# SPDX-License-Identifier: Apache-2.0
"""Lands generations by their ids, with Airflow's command line."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

with DAG("collect", schedule=None, params={"ids": Param([], type="array", items={"type": "string"})}):
    BashOperator(
        task_id="collect",
        bash_command="airflow evolink collect {{ params.ids | join(' ') }} --to s3://shop@videos/collected",
        append_env=True,
    )
