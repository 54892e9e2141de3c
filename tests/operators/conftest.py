# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures of the operators' tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_submission_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send submissions again without a pause."""
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)
