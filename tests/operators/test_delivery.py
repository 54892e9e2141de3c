# SPDX-License-Identifier: Apache-2.0
"""What counts as the result of a generation that was completed and charged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import ResultMissingError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.operators.submissions import operator
from tests.task_harness import TaskHarness

BOTH = pytest.mark.parametrize("deferrable", [True, False])


def test_links_in_result_data_are_found(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A completed generation may have its links in ``result_data`` only."""
    emulator.control.inject("result_data_only")

    record = harness.run(operator())

    assert (record["status"], len(record["results"])) == ("completed", 1)


@BOTH
def test_completed_without_results_is_not_a_success(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    """A charge without a result is an error with id and price; retries read again and pay for nothing."""
    emulator.control.inject("no_results")

    with pytest.raises(ResultMissingError) as caught:
        harness.run(operator(deferrable=deferrable))
    for _ in range(3):
        with pytest.raises(ResultMissingError):
            harness.retry(operator(deferrable=deferrable))

    [generation] = emulator.control.state()["generations"]
    assert caught.value.generation_id == generation["id"]
    for fact in (generation["id"], "paid for (29.78 credits)", "retry submits nothing", "EvoLinkGenerationSensor("):
        assert fact in str(caught.value)
    assert harness.store.get("evolink")["phase"] == "submitted"
    assert "None" not in str(caught.value) + capsys.readouterr().out


def test_a_clear_may_pay_again_for_a_generation_without_results(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Only a clear with ``on_clear="resubmit"``, which the error names, pays again; a retry after it does not."""
    emulator.control.inject("no_results", times=2)
    with pytest.raises(ResultMissingError, match='on_clear="resubmit"'):
        harness.run(operator(on_clear="resubmit"))

    with pytest.raises(ResultMissingError):
        harness.clear(operator(on_clear="resubmit"))
    assert emulator.control.state()["requests"]["submit"] == 2

    with pytest.raises(ResultMissingError):
        harness.retry(operator(on_clear="resubmit"))
    assert emulator.control.state()["requests"]["submit"] == 2
    assert harness.clear(operator(on_clear="resubmit"))["status"] == "completed"


def test_links_that_appear_later_are_collected(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry takes the links that an earlier response lacked."""
    links: tuple[str, ...] = ("file:///etc/passwd", "videos/0.mp4", "", "https://", "httpfoo://x/y")
    read = EvoLinkHook.get_generation
    monkeypatch.setattr(EvoLinkHook, "get_generation", lambda hook, id_: replace(read(hook, id_), links=links))
    with pytest.raises(ResultMissingError):
        harness.run(operator())

    links = (*links, "https://media.example/0.mp4")
    assert "https://media.example/0.mp4" in harness.retry(operator())["results"]
    assert emulator.control.state()["requests"]["submit"] == 1


def test_a_model_that_makes_no_files_needs_no_links(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A persona is nothing but an id; its record is a success, and its log does not mention links."""
    emulator.control.inject("no_results")
    parameters = {"source_task_id": "task-unified-1", "result_id": "1", "name": "Ada", "description": "A voice"}
    task = EvoLinkGenerateOperator(
        task_id="task", model="suno-persona", parameters={"model_params": parameters}, poll_interval=1
    )

    record = harness.run(task)

    assert (record["status"], record["results"]) == ("completed", [])
    assert "links" not in capsys.readouterr().out


@pytest.mark.parametrize(("data", "is_enough"), [({"voice": "v-1"}, True), ({}, False), (None, False)])
def test_data_is_enough_for_an_unknown_model(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch, data: Any, is_enough: bool
) -> None:
    """A later model may deliver just an id; without data either, nothing was delivered."""
    read = EvoLinkHook.get_generation

    def get_generation(hook: EvoLinkHook, generation_id: str) -> Generation:
        return replace(read(hook, generation_id), model="of-a-later-version", links=(), result_data=data)

    monkeypatch.setattr(EvoLinkHook, "get_generation", get_generation)
    if is_enough:
        assert harness.run(operator())["result_data"] == data
    else:
        with pytest.raises(ResultMissingError):
            harness.run(operator())
