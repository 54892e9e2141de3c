# SPDX-License-Identifier: Apache-2.0
"""Every style of task in one process, under Airflow's own ``dag.test()``: its stores, XCom, templates and retries."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.loaded_dag import load_dag

FOLDER = Path(__file__).parent / "styles"


@pytest.fixture(scope="module")
def dag() -> DAG:
    """The DAG, on a fresh Airflow database."""
    return load_dag(FOLDER, "python_styles")


@pytest.mark.filterwarnings("default")
def test_every_style_pays_once(
    dag: DAG, emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Decorated, mapped, awaited or called in Python, also by a task that is retried: each is paid for once."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")

    run = dag.test(run_conf={"destination": tmp_path.as_uri()})

    assert run.state == "success"
    made = emulator.control.state()["generations"]
    assert Counter(generation["prompt"] for generation in made) == Counter(
        [
            "python_styles at dawn",
            "completed lighthouse",
            "29.78 harbors",
            "A pier for gemini-omni-flash-text-to-video",
            "first",
            "second",
            *(f"scene {n}" for n in range(3)),
        ]
    )
    assert emulator.control.state()["requests"]["submit"] == 9
    assert sum(file.is_file() for file in tmp_path.rglob("*")) == 3
