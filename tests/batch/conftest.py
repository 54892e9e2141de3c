# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures of the batch's tests."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle


@pytest.fixture
def evolink(
    emulator: EmulatorHandle,
    quick: None,
    no_pauses: None,
    monkeypatch: pytest.MonkeyPatch,
) -> EmulatorHandle:
    """An emulator that makes a video in 30 ms, for workers that don't pause."""
    for module in ("submission.send_outcome", "batch.wave"):
        monkeypatch.setattr(f"airflow_provider_evolink.{module}.PAUSE_SECONDS", 0.0)
    for name, value in {"_FIRST_PAUSE": 0.05, "_MIN_PAUSE": 0.05, "_PROBE_RATE": 100.0}.items():
        monkeypatch.setattr(f"airflow_provider_evolink.polling.rate_limiter.{name}", value)
    emulator.control.set_speed(2000)
    emulator.control.add_credits(100_000)
    return emulator
