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
def test_links_and_numbers_are_passed_on(
    dag: DAG, emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Links of mapped tasks, and links and numbers in templates, become videos, each paid for once.

    Nor does the log have an error about an XCom that the extra links have not found.
    """
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")
    assert dag.test().state == "success"

    generations = emulator.control.state()["generations"]
    assert sorted(generation["prompt"] for generation in generations) == [
        "A gull", "A lighthouse", "It flies off", "The sea", "Waves roll in",
    ]  # fmt: skip
    assert {generation["status"] for generation in generations} == {"completed"}
    assert emulator.control.state()["requests"]["submit"] == 5
    log = capfd.readouterr().out
    assert "task-unified-" in log
    # Airflow itself reads a lazy sequence of mapped results until one is not found.
    assert not [line for line in log.splitlines() if "XCom not found" in line and "offset=" not in line]
