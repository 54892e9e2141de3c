# SPDX-License-Identifier: Apache-2.0
"""Calls of one try that share a key: they are refused by their cause, and pay for nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    GenerationFailedError,
    StaleRequestError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.types import GenerationRecord
from tests.hooks.calls import HARBOR, LIGHTHOUSE, MODEL, PythonTask
from tests.operators.submissions import accepted

pytestmark = pytest.mark.usefixtures("each_ledger", "no_pauses", "quick")


@pytest.fixture(autouse=True)
def _no_submission_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)


def generate(parameters: dict[str, Any], key: str = "cover", **options: Any) -> GenerationRecord:
    """Generate a video."""
    return EvoLinkHook().generate(MODEL, parameters, key=key, poll_interval=0.1, **options)


def loop(**options: Any) -> list[str]:
    """Generate two videos under one key, as a loop with a constant key does."""
    return [generate(parameters, **options)["generation_id"] for parameters in (LIGHTHOUSE, HARBOR)]


@pytest.mark.parametrize("on_changed_input", ["fail", "resubmit"])
def test_a_constant_key_in_a_loop(emulator: EmulatorHandle, task: PythonTask, on_changed_input: str) -> None:
    """The error says that this try has used the key, names what it paid for and what to do; no retry pays again."""
    for call in (task.call, task.call_again):
        with pytest.raises(StaleRequestError, match=r"`key`='cover' .*this same try.*a key of its own") as caught:
            call(lambda: loop(on_changed_input=on_changed_input))

        [generation] = accepted(emulator)
        assert caught.value.generation_id == generation["id"]
        assert "30.7 credits" in str(caught.value)
        assert "earlier try" not in str(caught.value)


def test_a_lost_response_in_the_same_try(emulator: EmulatorHandle, task: PythonTask) -> None:
    """What may have been paid for under the key is named by its idempotency key, and stays to be resolved."""
    emulator.control.inject("lost_response", on="submit", times=2)

    def carry_on() -> None:
        with pytest.raises(SubmissionUnknownError):
            generate(LIGHTHOUSE)
        generate(HARBOR, on_changed_input="resubmit")

    with pytest.raises(StaleRequestError, match="this same try: idempotency key airflow-"):
        task.call(carry_on)
    assert task.call_again(lambda: generate(LIGHTHOUSE))["replay"] == "confirmed"
    assert len(accepted(emulator)) == 1


def test_a_lost_response_that_may_not_be_replayed(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Repeated in the same try, the call states what was sent before, and does not blame an earlier try for it."""
    emulator.control.inject("lost_response", on="submit", times=2)

    def twice() -> None:
        with pytest.raises(SubmissionAbandonedError):
            generate(LIGHTHOUSE, on_unknown_submission="fail")
        generate(LIGHTHOUSE, on_unknown_submission="fail")

    with pytest.raises(
        SubmissionAbandonedError, match=r"^This request was sent before.*may have been accepted"
    ) as caught:
        task.call(twice)
    assert "earlier try" not in str(caught.value)
    assert len(accepted(emulator)) == 1


def test_invalid_input_in_the_same_try(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The error has what is wrong with the input, and does not blame an earlier try for the payment."""

    def twice() -> None:
        generate(LIGHTHOUSE)
        generate({**HARBOR, "duration": 300})

    with pytest.raises(StaleRequestError, match=r"`duration`=300 is invalid.*An earlier call with this key paid"):
        task.call(twice)


def test_an_earlier_try_is_still_named(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A request that has changed between two tries is no repeated key."""
    task.call(lambda: generate(LIGHTHOUSE))

    with pytest.raises(StaleRequestError, match="an earlier try paid"):
        task.call_again(lambda: generate(HARBOR))
    assert task.call(lambda: generate(HARBOR, on_changed_input="resubmit"))["status"] == "completed"


def test_the_same_request_again(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Repeated as it is, a call returns what the first has made."""
    first, second = task.call(lambda: (generate(LIGHTHOUSE), generate(LIGHTHOUSE)))

    assert first["generation_id"] == second["generation_id"]
    assert len(accepted(emulator)) == 1


def test_another_prompt_after_a_failure(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A generation that failed without a charge leaves its key to another request."""
    emulator.control.inject("moderation_rejected", on="submit")

    def with_fallback() -> GenerationRecord:
        with pytest.raises(GenerationFailedError):
            generate(LIGHTHOUSE)
        return generate(HARBOR)

    assert task.call(with_fallback)["status"] == "completed"


def test_outside_of_a_task_keys_mean_nothing(emulator: EmulatorHandle) -> None:
    """There, nothing remembers, so that each call pays for its own."""
    assert len(set(loop())) == 2
