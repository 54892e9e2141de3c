# SPDX-License-Identifier: Apache-2.0
"""Tasks that pay where nothing would remember it: Airflow before 3.3, without ``[evolink] ledger_path``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time.context import set_current_context

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from tests.operators.submissions import TEXT, operator
from tests.task_harness import TaskHarness

LIGHTHOUSE = {"prompt": "A lighthouse", "duration": 3}
PICTURE = Path(__file__).parent.parent / "data" / "frame.png"


def generate(context: Any, folder: Path) -> Any:
    """Pay with an operator."""
    return operator().execute(context)


def generate_from_a_file(context: Any, folder: Path) -> Any:
    """Pay with an operator whose picture would be uploaded first."""
    task = EvoLinkImageToVideoOperator(task_id="task", image=str(PICTURE), prompt="Waves", upload="always")
    return task.execute(context)


def batch(context: Any, folder: Path) -> Any:
    """Pay for a table."""
    requests = [{"sku": "A", **LIGHTHOUSE}]
    task = EvoLinkBatchOperator(task_id="task", model=TEXT, key="sku", requests=requests, destination=str(folder))
    return task.execute(context)


def decorated(context: Any, folder: Path) -> Any:
    """Pay with a decorated function."""

    def write() -> dict[str, Any]:
        return LIGHTHOUSE

    made: Any = evolink_task(model=TEXT, task_id="task")(write)()
    return made.operator.execute(context)


def call(context: Any, folder: Path) -> Any:
    """Pay with Python code."""
    with set_current_context(context):
        return EvoLinkHook().generate(TEXT, LIGHTHOUSE, key="cover")


@pytest.mark.parametrize("pay", [generate, generate_from_a_file, batch, decorated, call])
def test_nothing_is_sent(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pay: Callable[[Any, Path], Any],
) -> None:
    """On every Airflow, the error names the missing line of configuration, and no retry can fix it."""
    monkeypatch.delenv("AIRFLOW__EVOLINK__LEDGER_PATH", raising=False)

    with pytest.raises((ConfigurationError, EvoLinkFailException)) as caught:
        pay({**harness.context, "task_state_store": None}, tmp_path)

    error: Any = getattr(caught.value, "error", caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.permanent
    assert "ledger_path in the section [evolink]" in str(error)
    assert "AIRFLOW__EVOLINK__LEDGER_PATH" in str(error)
    assert emulator.control.state()["requests"]["total"] == 0
