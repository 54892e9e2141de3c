# SPDX-License-Identifier: Apache-2.0
"""Every style of task in one process, under Airflow's own ``dag.test()``: its stores, XCom, templates and retries."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.loaded_dag import load_dag
from tests.marks import needs_async_tasks

FOLDER = Path(__file__).parent / "styles"


@pytest.fixture(autouse=True)
def _poll_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")


def prompts(emulator: EmulatorHandle) -> Counter[str]:
    """Return how often each prompt was generated."""
    return Counter(generation["prompt"] for generation in emulator.control.state()["generations"])


@pytest.mark.filterwarnings("default")
def test_every_style_pays_once(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """Decorated, mapped, awaited or called in Python, also by a task that is retried: each is paid for once."""
    run = load_dag(FOLDER, "python_styles").test(run_conf={"destination": tmp_path.as_uri()})

    assert run is not None
    assert run.state == "success"
    assert prompts(emulator) == Counter(
        [
            "python_styles at dawn",
            "completed lighthouse",
            "29.78 harbors",
            "A pier for gemini-omni-flash-text-to-video",
            "first",
            "second",
        ]
    )
    assert emulator.control.state()["requests"]["submit"] == 6
    assert sum(file.is_file() for file in tmp_path.rglob("*")) == 3


@needs_async_tasks
@pytest.mark.filterwarnings("default")
def test_calls_at_the_same_time_pay_once_each(emulator: EmulatorHandle) -> None:
    """A coroutine function that awaits several calls at once pays for each of them once."""
    run = load_dag(FOLDER, "awaited_style").test()

    assert run is not None
    assert run.state == "success"
    assert prompts(emulator) == Counter([f"scene {n}" for n in range(3)])
    assert emulator.control.state()["requests"]["submit"] == 3
