# SPDX-License-Identifier: Apache-2.0
"""How often an execution looks its connection up, and that reads notice a connection that was fixed meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import Connection

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from tests.hook_uses import HookUses, count_hook_uses
from tests.leaping import LeapingTime
from tests.operators.submissions import accepted, operator
from tests.task_harness import TaskHarness

PNG = Path(__file__).parent.parent / "data" / "frame.png"
ONCE = HookUses(hooks=1, lookups=1)


def image_to_video(**kwargs: Any) -> EvoLinkImageToVideoOperator:
    """Return a short image-to-video task."""
    return EvoLinkImageToVideoOperator(task_id="task", prompt="x", image=str(PNG), duration=3, **kwargs)


@pytest.mark.parametrize("task", [operator(), image_to_video()])
def test_an_execution_looks_the_connection_up_once(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, task: EvoLinkGenerateOperator
) -> None:
    """A first try until it defers, a later one that resumes the generation, and the end: one hook, one lookup each."""
    for try_number in (1, 2):
        harness.ti.try_number = try_number
        with monkeypatch.context() as counted:
            uses = count_hook_uses(counted)
            with pytest.raises(TaskDeferred):
                task.execute(harness.context)
        assert uses == ONCE
    emulator.control.advance(1000)

    uses = count_hook_uses(monkeypatch)
    assert task.execute_complete(harness.context, {"outcome": "terminal"})["status"] == "completed"

    assert uses == ONCE
    assert len(accepted(emulator)) == 1


def test_a_landing_looks_the_connection_up_once(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A task that also lands checks before the payment with its only hook; the landing itself has one of its own."""
    task = operator(destination=str(tmp_path))
    uses = count_hook_uses(monkeypatch)
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    assert uses == ONCE
    emulator.control.advance(1000)

    assert len(task.execute_complete(harness.context, {"outcome": "terminal"})["landed"]) == 1
    assert uses == HookUses(hooks=1 + 2, lookups=1 + 2)

    harness.ti.try_number = 2
    assert len(task.execute(harness.context)["landed"]) == 1
    assert uses == HookUses(hooks=3 + 2, lookups=3 + 2)


def test_a_submission_without_waiting_looks_the_connection_up_once(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the submission is sent twice, one hook sends it, with the API key whose digest is recorded."""
    monkeypatch.setattr("airflow_provider_evolink.submission.send_outcome.PAUSE_SECONDS", 0.0)
    emulator.control.inject("lost_response", on="submit")
    uses = count_hook_uses(monkeypatch)

    operator(wait_for_completion=False).execute(harness.context)

    assert uses == ONCE
    assert emulator.control.state()["requests"]["submit"] == 2


def test_waiting_on_the_worker_looks_the_connection_up_once_more_for_each_part(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The submission and the final read have a hook each, so that a connection fixed meanwhile takes effect."""
    emulator.control.set_speed(100)
    uses = count_hook_uses(monkeypatch)

    assert operator(deferrable=False).execute(harness.context)["status"] == "completed"

    # Before Airflow 3.3.2, the poller looks the connection up with the synchronous method, which is counted.
    is_counted = not hasattr(Connection, "aextra_dejson")
    assert uses == HookUses(hooks=2, lookups=2 + is_counted)


def test_a_read_notices_a_connection_that_was_fixed(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, leaping: LeapingTime
) -> None:
    """Each read after a failure has a hook of its own, so that a fixed API key takes effect within the same try."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection.replace("sk-", "sk-wrong-"))

    def fix_the_connection(seconds: float) -> None:
        leaping.slept.append(seconds)
        monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection)

    monkeypatch.setattr(leaping, "sleep", fix_the_connection)
    uses = count_hook_uses(monkeypatch)

    assert task.execute_complete(harness.context, {"outcome": "terminal"})["status"] == "completed"

    assert len(leaping.slept) == 1
    assert uses == HookUses(hooks=2, lookups=2)
