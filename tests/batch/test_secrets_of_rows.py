# SPDX-License-Identifier: Apache-2.0
"""API key, prompts and links of a batch stay where they belong, whatever goes wrong."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.faults.kinds import FAULT_KINDS
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, retry, rows, run, stored_rows
from tests.task_harness import TaskHarness

ROWS = rows(3, prompt="The planted prompt of a confidential film")
OPTIONS: dict[str, dict[str, Any]] = {
    "slow_response": {"seconds": 0.1},
    "slow_acceptance": {"seconds": 0.1},
    "rate_limit": {"retry_after": 0},
}
CASES = [
    (fault, endpoint)
    for fault, kind in FAULT_KINDS.items()
    for endpoint in ("submit", "batch", "media")
    if endpoint in kind.endpoints and fault != "endless_body"
]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "0.5")


def error_of(attempt: Any, harness: TaskHarness, destination: Path) -> str:
    """Run a try and return its error as Airflow prints it, causes included."""
    try:
        attempt(harness, batch(ROWS, destination, timeout=2, max_in_flight=2))
    except Exception as error:
        return "".join(traceback.format_exception(error)) + repr(error)
    return ""


def check(emulator: EmulatorHandle, harness: TaskHarness, destination: Path, shown: str) -> None:
    """Check that no secret is where Airflow shows or stores things; only the manifest may state prompts."""
    state = emulator.control.state()
    deferrals = [[deferral.trigger.serialize(), deferral.kwargs] for deferral in harness.deferrals]
    ledger = [{**value, "rows": stored_rows(value)} for value in harness.store.writes]
    assert any(value["rows"] for value in ledger) or not state["requests"]["submit"]
    stored = json.dumps([deferrals, harness.events, ledger, harness.ti.xcoms], ensure_ascii=False)
    written = "".join(path.read_text(encoding="utf-8") for path in destination.glob("*.jsonl"))
    links = [link for generation in state["generations"] for link in generation["results"]]
    for secret in (emulator.api_key, ROWS[0]["prompt"], *links):
        assert secret not in stored + shown
        assert secret not in written or secret == ROWS[0]["prompt"]
    assert state["api_key_leak_count"] == 0


@pytest.mark.parametrize(("fault", "endpoint"), CASES)
def test_no_fault_shows_a_secret(
    evolink: EmulatorHandle,
    harness: TaskHarness,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    endpoint: str,
) -> None:
    """No fault, nor the try after it, leaves a trace of API key, prompt or link."""
    evolink.control.inject(fault, on=endpoint, times=8, **OPTIONS.get(fault, {}))

    error = error_of(run, harness, tmp_path) + error_of(retry, harness, tmp_path)

    check(evolink, harness, tmp_path, error + capsys.readouterr().out)


@pytest.mark.parametrize(("fault", "options"), [("generation_failed", {"code": "service_error"}), ("http_error", {})])
def test_an_echoed_api_key_is_masked(
    evolink: EmulatorHandle,
    harness: TaskHarness,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    options: dict[str, Any],
) -> None:
    """An API key that EvoLink quotes in an error is masked in ledger, manifest, log and exception."""
    message = f"Token {evolink.api_key} has no channel"
    evolink.control.inject(fault, on="submit", times=8, message=message, **options)

    error = error_of(run, harness, tmp_path)

    assert "Token *** has no channel" in error
    check(evolink, harness, tmp_path, error + capsys.readouterr().out)


@pytest.mark.parametrize("name", ["callback_url", "calback_url", "image_urls"])
def test_a_bad_row_does_not_show_a_token(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """An error about a link in a row does not show the token in it, nor the row's other fields."""
    table = [
        {
            **ROWS[0],
            "model": "gemini-omni-flash-image-to-video",
            name: "http://user:planted@10.0.0.7/hook?token=planted",
        }
    ]
    with pytest.raises(Exception, match=name) as error:
        run(harness, batch(table, tmp_path))

    shown = str(error.value) + capsys.readouterr().out
    assert "planted" not in shown
    check(evolink, harness, tmp_path, shown)
