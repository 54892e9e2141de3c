# SPDX-License-Identifier: Apache-2.0
"""A run whose tasks pay, each in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.emulator import Settings, running

FOLDER = Path(__file__).parent / "paying"


def pay(dag: DAG, folder: Path) -> str:
    """Run the DAG, and return the run's id."""
    with running(Settings(clock=600)) as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection)
        patch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")
        run: Any = dag.test(run_conf={"destination": str(folder)})
        assert run.state == "success"
        return str(run.run_id)
