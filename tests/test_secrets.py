# SPDX-License-Identifier: Apache-2.0
"""Tests that API key, prompt and result URLs stay where they belong, whatever goes wrong."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_evolink.emulator.faults.kinds import FAULT_KINDS
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from tests.loopback import always, serving
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("quick")

PROMPT = "The planted prompt of a confidential film"
FINISHED = {"finished", "failed"}
OPTIONS: dict[str, dict[str, Any]] = {
    "slow_response": {"seconds": 0.1},
    "slow_acceptance": {"seconds": 0.1},
    "rate_limit": {"retry_after": 0},
}
# Faults of the submission, of the reads that follow, and of the generation itself.
CASES = [
    (fault, endpoint)
    for fault, kind in FAULT_KINDS.items()
    for endpoint in ("submit", "read")
    if endpoint in kind.endpoints
]


@pytest.fixture(autouse=True)
def _fast(emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.control.set_speed(5000)
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "0.5")


def operator(**kwargs: Any) -> EvoLinkGenerateOperator:
    """Return a short text-to-video task with a recognizable prompt."""
    parameters = {"prompt": PROMPT, "duration": 3, **kwargs.pop("parameters", {})}
    given = {"poll_interval": 0.05, "timeout": 2, **kwargs}
    return EvoLinkGenerateOperator(
        task_id="task", model="gemini-omni-flash-text-to-video", parameters=parameters, **given
    )


def error_of(harness: TaskHarness, make: Callable[[], Any]) -> str:
    """Make a task, run a try, and return its error as Airflow prints it, causes included."""
    try:
        harness.run(make())
    except Exception as error:
        return "".join(traceback.format_exception(error)) + repr(error)
    return ""


def stored(harness: TaskHarness) -> str:
    """Return what Airflow's database holds in clear text: deferrals, events, and unfinished ledger records."""
    rows = [
        [deferral.trigger.serialize(), deferral.kwargs, deferral.method_name, str(deferral.timeout)]
        for deferral in harness.deferrals
    ]
    ledger = [record for record in harness.store.writes if record["phase"] not in FINISHED]
    return json.dumps([rows, harness.events, ledger])


def check(emulator: EmulatorHandle, harness: TaskHarness, error: str, log: str) -> None:
    """Check that no secret is anywhere but where it belongs."""
    state = emulator.control.state()
    links = [link for generation in state["generations"] for link in generation["results"]]
    # The beginnings of the emulator's links; the package has a folder of the name, which tracebacks show.
    for secret in (emulator.api_key, PROMPT, "/media/videos/", "/media/images/", *links):
        assert secret not in stored(harness)
        assert secret not in error
        assert secret not in log
    assert emulator.api_key not in json.dumps([harness.store.writes, harness.ti.xcoms])
    assert PROMPT not in json.dumps([harness.store.writes, harness.ti.xcoms])
    assert state["api_key_leak_count"] == 0


@pytest.mark.parametrize("deferrable", [True, False])
def test_when_all_goes_well(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    """When all goes well, URLs appear in the result only."""
    task = operator(deferrable=deferrable)
    record = harness.run(task)

    check(emulator, harness, "", capsys.readouterr().out)
    assert record["results"]
    assert emulator.api_key not in json.dumps(record) + str(vars(task))


@pytest.mark.parametrize(("fault", "endpoint"), CASES)
def test_when_something_fails(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str], fault: str, endpoint: str
) -> None:
    """No fault, nor the try after it, leaves a trace of API key, prompt or URL."""
    times = 1 if fault == "endless_body" else 8
    emulator.control.inject(fault, on=endpoint, times=times, **OPTIONS.get(fault, {}))

    error = error_of(harness, operator)
    harness.ti.try_number += 1
    error += error_of(harness, operator)

    check(emulator, harness, error, capsys.readouterr().out)


@pytest.mark.parametrize("fault", ["generation_failed", "moderation_rejected"])
def test_when_evolink_echoes_the_api_key(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    """An API key that EvoLink quotes in an error is masked, in the ledger too."""
    emulator.control.inject(fault, message=f"Token {emulator.api_key} has no channel", code="service_error")

    error = error_of(harness, operator)

    assert "Token *** has no channel" in error
    check(emulator, harness, error, capsys.readouterr().out)


def test_when_evolink_echoes_the_api_key_in_a_result(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """An API key that EvoLink quotes in result data is masked in XCom."""
    generation = {
        "id": "task-unified-1-echo",
        "status": "completed",
        "results": ["https://media.example.com/voice.wav"],
        "result_data": {"voice": emulator.api_key},
    }
    task = EvoLinkGenerationSensor(task_id="task", generation_id="task-unified-1-echo")
    with serving(always(generation)) as server, pytest.MonkeyPatch.context() as patch:
        connection = emulator.airflow_connection.replace(emulator.url, server.url)
        patch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", connection)
        record = harness.run(task)

    assert record["result_data"] == {"voice": "***"}


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"duration": 99}, {}),
        ({"aspect_ratio": "1:1"}, {}),
        ({}, {"callback_url": "http://10.0.0.7/hook?token=planted-token"}),
        ({}, {"timeout": -1}),
        ({}, {"evolink_conn_id": "no_such_connection"}),
    ],
)
def test_when_the_input_is_bad(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    capsys: pytest.CaptureFixture[str],
    parameters: dict[str, Any],
    arguments: dict[str, Any],
) -> None:
    """An error about one parameter shows neither the others nor a callback's token."""
    error = error_of(harness, lambda: operator(parameters=parameters, **arguments))

    assert error
    assert "planted-token" not in error
    check(emulator, harness, error, capsys.readouterr().out)
