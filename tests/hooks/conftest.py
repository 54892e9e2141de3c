# SPDX-License-Identifier: Apache-2.0
"""Fixtures for calls of the hook in Python code."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.execution import credits_check
from tests.hooks.calls import PythonTask


@pytest.fixture
def task() -> PythonTask:
    """A task that has not run yet."""
    return PythonTask()


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process knows about credits, and send again without a pause."""
    credits_check._readings.clear()
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)
