# SPDX-License-Identifier: Apache-2.0
"""What one task passes to the next, through Airflow's own XCom and templates."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.loaded_dag import load_dag

FOLDER = Path(__file__).parent / "chained"


@pytest.fixture(scope="module")
def dag() -> DAG:
    """A DAG of mapped, templated and chained tasks, on a fresh Airflow database."""
    return load_dag(FOLDER, "chained")


@pytest.mark.filterwarnings("default")
def test_links_and_numbers_are_passed_on(dag: DAG, emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links of mapped tasks, and links and numbers in templates, become videos, each paid for once."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")
    assert dag.test().state == "success"

    generations = emulator.control.state()["generations"]
    assert sorted(generation["prompt"] for generation in generations) == [
        "A gull", "A lighthouse", "It flies off", "The sea", "Waves roll in",
    ]  # fmt: skip
    assert {generation["status"] for generation in generations} == {"completed"}
    assert emulator.control.state()["requests"]["submit"] == 5
