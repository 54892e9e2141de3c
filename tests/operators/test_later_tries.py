# SPDX-License-Identifier: Apache-2.0
"""What a later try or a clear does with what was paid for: reuse it, or submit anew if that was requested."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_evolink.api.errors import (
    GenerationFailedError,
    GenerationLostError,
    GenerationTimeoutError,
    LedgerError,
    PermanentGenerationFailedError,
    StaleRequestError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.api.generation import Generation, Usage
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from airflow_provider_evolink.submission.record import STORE_KEY
from tests.leaping import LeapingTime
from tests.operators.submissions import DyingStore, WorkerDied, accepted, operator
from tests.task_harness import FailingStore, TaskHarness

pytestmark = pytest.mark.usefixtures("each_ledger", "no_submission_pauses")


def test_a_failed_generation_is_submitted_again(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If EvoLink failed to make it, a retry submits a new one with another idempotency key."""
    emulator.control.inject("generation_failed", code="service_error")
    with pytest.raises(GenerationFailedError, match="service_error") as caught:
        harness.run(operator())
    assert caught.value.generation_id in str(caught.value)

    record = harness.retry(operator())

    first, second = accepted(emulator)
    assert (first["status"], second["status"]) == ("failed", "completed")
    assert first["idempotency_key"] != second["idempotency_key"]
    assert (first["charged"], record["generation_id"]) == (0, second["id"])
    assert harness.record["previous_ids"] == [first["id"]]


def test_moderation_ends_the_task(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A failure that a retry can't fix ends the task at once, with EvoLink's code and message."""
    emulator.control.inject("moderation_rejected")
    with pytest.raises(EvoLinkFailException, match=r"content_policy_violation.*Content policy violation"):
        harness.run(operator())

    with pytest.raises(EvoLinkFailException, match="content_policy_violation"):
        harness.retry(operator())
    assert len(accepted(emulator)) == 1


def test_a_clear_reuses_what_was_paid_for(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """By default a cleared task returns its result again, and nothing is sent."""
    first = harness.run(operator())
    again = harness.clear(operator())

    assert again == {**first, "reattached": True, "try_number": 2}
    assert len(accepted(emulator)) == 1
    assert harness.ti.xcoms["result_link"] == first["results"][0]


def test_a_clear_with_resubmit_pays_again(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With ``on_clear="resubmit"`` a clear pays again, but a retry after the result was returned does not."""
    first = harness.run(operator(on_clear="resubmit"))
    assert harness.retry(operator(on_clear="resubmit"))["generation_id"] == first["generation_id"]

    again = harness.clear(operator(on_clear="resubmit"))

    assert again["generation_id"] != first["generation_id"]
    assert len(accepted(emulator)) == 2


def test_a_changed_prompt_never_returns_the_old_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A changed request fails with the facts; with ``resubmit`` it is paid for anew, and the old id is kept."""
    first = harness.run(operator("A lighthouse"))
    with pytest.raises(EvoLinkFailException, match=first["generation_id"]):
        harness.clear(operator("A harbor"))
    assert len(accepted(emulator)) == 1

    second = harness.clear(operator("A harbor", on_changed_input="resubmit"))

    assert second["generation_id"] != first["generation_id"]
    assert harness.record["previous_ids"] == [first["generation_id"]]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image that may disappear."""
    path = tmp_path / "image.png"
    path.write_bytes((Path(__file__).parents[1] / "data" / "frame.png").read_bytes())
    return path


def from_image(image: Path, /, **kwargs: Any) -> EvoLinkImageToVideoOperator:
    """Return a short image-to-video task."""
    arguments = {"duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="task", prompt="x", **{"image": str(image), **arguments})


def test_a_missing_image_does_not_stop_a_paid_generation(
    emulator: EmulatorHandle, harness: TaskHarness, image: Path
) -> None:
    """If the input can't be read any more, a retry and a clear resume what is paid for."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        harness.run(from_image(image))
    image.unlink()

    assert harness.retry(from_image(image))["status"] == "completed"
    assert harness.clear(from_image(image))["status"] == "completed"
    assert len(accepted(emulator)) == 1


def test_a_missing_image_does_not_hide_a_lost_response(
    emulator: EmulatorHandle, harness: TaskHarness, image: Path
) -> None:
    """After a lost response, the error of a missing image does not claim that nothing was charged."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(from_image(image))
    image.unlink()

    with pytest.raises(EvoLinkFailException, match="may have been accepted and charged") as caught:
        harness.retry(from_image(image))
    assert harness.record["idempotency_key"] in str(caught.value)


def test_a_changed_request_does_not_hide_a_lost_response(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """After a lost response, a changed request names the idempotency key, and no sensor, which would need an id."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())

    with pytest.raises(EvoLinkFailException, match="may have been accepted and charged") as caught:
        harness.retry(operator("A harbor"))
    assert isinstance(caught.value.error, StaleRequestError)
    assert harness.record["idempotency_key"] in str(caught.value)
    assert "Sensor" not in str(caught.value)
    assert harness.clear(operator())["status"] == "completed"


def test_a_failing_ledger_does_not_hide_a_lost_response(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the second send can't be written after a lost response, the error says that the first may be charged."""
    harness.store = FailingStore(2)
    emulator.control.inject("lost_response", on="submit")

    with pytest.raises(LedgerError, match="may have been accepted and charged") as caught:
        harness.run(operator())
    assert harness.record["idempotency_key"] in str(caught.value)


def test_an_end_that_cannot_be_recorded_names_the_generation(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the ledger fails when the generation has ended, the error names it, and a retry returns its result."""
    harness.store = FailingStore(3)

    with pytest.raises(LedgerError, match="completed") as caught:
        harness.run(operator())
    assert caught.value.generation_id == accepted(emulator)[0]["id"]
    assert str(caught.value.generation_id) in str(caught.value)
    assert harness.retry(operator())["generation_id"] == caught.value.generation_id


def test_invalid_input_does_not_hide_a_paid_generation(
    emulator: EmulatorHandle, harness: TaskHarness, image: Path
) -> None:
    """The error of an invalid value names the generation that an earlier try paid for."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        harness.run(from_image(image))

    with pytest.raises(EvoLinkFailException, match=f"`duration`=11 .*{accepted(emulator)[0]['id']}"):
        harness.retry(from_image(image, duration=11))
    assert len(accepted(emulator)) == 1


def changed(task: EvoLinkGenerateOperator, **arguments: Any) -> EvoLinkGenerateOperator:
    """Return a task with arguments that were no literals when its DAG was parsed."""
    for name, value in arguments.items():
        setattr(task, name, value)
    return task


@pytest.mark.parametrize("policy", ["replay", "fail"])
@pytest.mark.parametrize("invalid", [{"duration": 11}, {"image": "gone.png"}, {"timeout": 0}])
def test_invalid_input_does_not_hide_a_lost_response(
    emulator: EmulatorHandle, harness: TaskHarness, image: Path, policy: str, invalid: dict[str, Any]
) -> None:
    """After a lost response, the error of invalid input does not claim that nothing was charged."""
    emulator.control.inject("lost_response", on="submit", times=None)
    with pytest.raises((SubmissionUnknownError, EvoLinkFailException)):
        harness.run(from_image(image, on_unknown_submission=policy))

    for attempt in (harness.retry, harness.clear):
        with pytest.raises(EvoLinkFailException, match="may have been accepted and charged") as caught:
            attempt(changed(from_image(image, on_unknown_submission=policy), **invalid))
        assert harness.record["idempotency_key"] in str(caught.value)
        assert "nothing was charged" not in str(caught.value).lower()
        assert "cost nothing" not in str(caught.value)


def test_invalid_input_does_not_hide_a_result(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The error of an invalid value names the result that an earlier try paid for, and how to collect it."""
    record = harness.run(operator())

    with pytest.raises(EvoLinkFailException, match=f"{record['generation_id']}.*collect") as caught:
        harness.clear(changed(operator(), timeout=0))
    assert "cost nothing" not in str(caught.value)


def test_unreachable_storage_does_not_end_the_retries_after_a_lost_response(
    emulator: EmulatorHandle, harness: TaskHarness, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a lost response, an image that can't be read at the moment leaves the replay to the next try."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(from_image(image))
    with monkeypatch.context() as outage:
        outage.setattr(
            "airflow_provider_evolink.hooks.storage_file.opened_path",
            Mock(side_effect=RuntimeError("the storage is down")),
        )
        with pytest.raises(SubmissionUnknownError) as caught:
            harness.retry(from_image(image))
        for fact in ("storage is down", "may have been accepted and charged", "Nothing was sent"):
            assert str(caught.value).count(fact) == 1

    assert harness.retry(from_image(image))["status"] == "completed"
    assert len(accepted(emulator)) == 1


def test_a_ledger_without_the_id_loses_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the id could not be written, the event still has it, and the video is returned."""
    harness.store = FailingStore(2, 3, 4)

    record = harness.run(operator())

    assert record["status"] == "completed"
    assert harness.record["phase"] == "finished"
    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_a_failure_that_was_not_awaited_is_submitted_again(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that did not wait reads the generation when it runs again: one that has failed is submitted anew."""
    emulator.control.inject("generation_failed", code="service_error")
    first = harness.run(operator(wait_for_completion=False))
    emulator.control.advance(1000)

    again = harness.clear(operator(wait_for_completion=False))

    assert again["generation_id"] != first["generation_id"]
    assert harness.record["previous_ids"] == [first["generation_id"]]
    assert harness.clear(operator())["generation_id"] == again["generation_id"]


def test_a_retry_that_finds_the_video_ready_takes_it(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the generation has ended meanwhile, a later try finishes at once instead of waiting again."""
    first = harness.run(operator(wait_for_completion=False))
    emulator.control.advance(1000)

    record = harness.retry(operator())

    assert (record["generation_id"], record["status"]) == (first["generation_id"], "completed")
    assert (record["reattached"], harness.deferrals) == (True, [])


def test_a_lost_generation_is_paid_for_again_only_with_resubmit(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A generation that EvoLink no longer knows is reported; a clear with ``resubmit`` pays for a new one."""
    lost = harness.run(operator(wait_for_completion=False))["generation_id"]
    # It was also missing an hour ago.
    missing = {
        "submitted_at": time.time() - 7200,
        "missing_since": time.time() - 3600,
        "finished_without_waiting": False,
    }
    harness.store.set(STORE_KEY, {**harness.record, **missing})
    emulator.control.inject("not_found", on="read", times=3)
    for attempt, policy in ((harness.retry, "resubmit"), (harness.clear, "reuse")):
        with pytest.raises(EvoLinkFailException, match=rf"{lost}.*30\.7 credits") as caught:
            attempt(operator(on_clear=policy))
        assert isinstance(caught.value.error, GenerationLostError)

    record = harness.clear(operator(on_clear="resubmit"))

    assert record["status"] == "completed"
    assert harness.record["previous_ids"] == [lost]


def test_a_generation_that_was_missing_for_minutes_is_replaced_at_the_first_clear(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a worker has found in minutes that EvoLink has no such generation, the next try need not find it again."""
    monkeypatch.setattr("airflow_provider_evolink.submission.remote_state.NOT_FOUND_GRACE", 0.0)
    task = operator(on_clear="resubmit")
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("not_found", on="read", times=None)
    with pytest.raises(EvoLinkFailException, match='on_clear="resubmit"'):
        task.execute_complete(harness.context, {"outcome": "refused"})
    assert leaping.slept

    harness.ti.try_number, harness.ti.max_tries = 2, 1
    with pytest.raises(TaskDeferred):
        operator(on_clear="resubmit").execute(harness.context)
    assert len(accepted(emulator)) == 2


def test_a_clear_with_resubmit_replaces_what_was_not_awaited(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that does not wait is finished by the submission: the first clear with ``resubmit`` pays for a new one."""
    first = harness.run(operator(wait_for_completion=False, on_clear="resubmit"))
    emulator.control.advance(1000)

    retried = harness.retry(operator(wait_for_completion=False, on_clear="resubmit"))
    cleared = harness.clear(operator(wait_for_completion=False, on_clear="resubmit"))

    assert retried["generation_id"] == first["generation_id"]
    assert cleared["generation_id"] != first["generation_id"]
    assert len(accepted(emulator)) == 2


def test_lowered_retries_do_not_hide_a_clear(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Any change of Airflow's ``max_tries`` is a clear, even a decrease after ``retries`` were lowered."""
    harness.ti.max_tries = 5
    first = harness.run(operator(retries=5, on_clear="resubmit"))

    record = harness.clear(operator(retries=1, on_clear="resubmit"))

    assert harness.ti.max_tries == 2
    assert record["generation_id"] != first["generation_id"]
    assert len(accepted(emulator)) == 2


def test_a_charged_failure_is_not_paid_for_again_for_a_changed_request(
    emulator: EmulatorHandle, harness: TaskHarness
) -> None:
    """``on_changed_input`` applies to a generation that failed and was charged as to any other paid one."""
    first = harness.run(operator(wait_for_completion=False))
    harness.store.set(
        STORE_KEY, {**harness.record, "phase": "failed", "was_charged": True, "error_code": "service_error"}
    )

    with pytest.raises(EvoLinkFailException, match=rf"{first['generation_id']}.*was charged") as caught:
        harness.retry(operator("A harbor"))
    assert isinstance(caught.value.error, StaleRequestError)
    for fact in ("Nothing was sent", "lear the task", 'on_changed_input="resubmit"'):
        assert fact in str(caught.value)
    assert len(accepted(emulator)) == 1
    assert harness.retry(operator("A harbor", on_changed_input="resubmit"))["status"] == "completed"
    assert len(accepted(emulator)) == 2


def fail_with_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each generation fail at EvoLink from now on, and be charged."""
    read = EvoLinkHook.get_generation

    def failed(hook: EvoLinkHook, generation_id: str) -> Generation:
        usage = Usage(credits_used=29.78)
        return replace(read(hook, generation_id), status="failed", error_code="service_error", usage=usage)

    monkeypatch.setattr(EvoLinkHook, "get_generation", failed)


def test_a_clear_before_the_charge_was_known_pays_for_nothing(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear from before the failure was known is no consent to pay again for a charged failure."""
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    fail_with_charge(monkeypatch)

    for attempt in (harness.clear, harness.retry):
        with pytest.raises(EvoLinkFailException, match="charged") as caught:
            attempt(operator())
        assert isinstance(caught.value.error, PermanentGenerationFailedError)
        assert caught.value.error.generation_id == accepted(emulator)[0]["id"]
    assert len(accepted(emulator)) == 1

    harness.clear(operator(wait_for_completion=False))
    assert len(accepted(emulator)) == 2


def test_a_clear_of_what_was_not_awaited_pays_for_a_failure_at_once(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the generation is awaited elsewhere, its failure is known there before the submitting task is cleared."""
    harness.run(operator(wait_for_completion=False))
    fail_with_charge(monkeypatch)

    harness.clear(operator(wait_for_completion=False))
    assert len(accepted(emulator)) == 2


def test_a_clear_counts_once(emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear that resolved a lost response is no consent to pay for a later failure again."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())
    harness.ti.max_tries = harness.ti.try_number = 2
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    fail_with_charge(monkeypatch)

    with pytest.raises(EvoLinkFailException, match="charged") as caught:
        harness.retry(operator())
    assert isinstance(caught.value.error, PermanentGenerationFailedError)
    assert len(accepted(emulator)) == 1


def test_a_clear_counts_once_even_if_the_ledger_fails(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the clear could not be recorded when its try began, it is recorded with the result, and no retry pays."""
    with pytest.raises(TaskDeferred):
        operator(on_clear="resubmit").execute(harness.context)
    before = dict(harness.store.held)
    harness.store = FailingStore(1)
    harness.store.held.update(before)

    first = harness.clear(operator(on_clear="resubmit"))
    again = harness.retry(operator(on_clear="resubmit"))

    assert again["generation_id"] == first["generation_id"]
    assert len(accepted(emulator)) == 1


@pytest.mark.parametrize("policy", [{"on_clear": "resubmit"}, {"on_changed_input": "resubmit", "prompt": "A harbor"}])
def test_a_rejected_submission_replaces_nothing(
    emulator: EmulatorHandle, harness: TaskHarness, policy: dict[str, str]
) -> None:
    """If EvoLink rejects a new submission, the old result is still returned without it."""
    first = harness.run(operator())
    emulator.control.inject("http_error", on="submit", status=402)
    with pytest.raises(EvoLinkFailException, match="402"):
        harness.clear(operator(**policy))

    assert harness.clear(operator())["generation_id"] == first["generation_id"]
    assert len(accepted(emulator)) == 1


def test_a_clear_that_was_rejected_still_counts(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A clear whose new submission EvoLink rejected is not used up: the next try pays, once."""
    first = harness.run(operator())
    emulator.control.inject("http_error", on="submit", status=402)
    with pytest.raises(EvoLinkFailException, match="402"):
        harness.clear(operator(on_clear="resubmit"))

    for _ in range(2):
        second = harness.retry(operator(on_clear="resubmit"))

    assert [generation["id"] for generation in accepted(emulator)] == [first["generation_id"], second["generation_id"]]


def test_a_clear_does_not_wait_forever(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that outlasts its links is replaced by a clear with ``resubmit``, and by no other try."""
    first = harness.run(operator(wait_for_completion=False))
    harness.store.set(
        STORE_KEY, {**harness.record, "finished_without_waiting": False, "submitted_at": time.time() - 86_401}
    )
    read = EvoLinkHook.get_generation
    monkeypatch.setattr(EvoLinkHook, "get_generation", lambda hook, id_: replace(read(hook, id_), status="processing"))

    for attempt, policy in ((harness.retry, "resubmit"), (harness.clear, "reuse")):
        with pytest.raises(GenerationTimeoutError, match=r'From \d{4}-\d\d-\d\dT.*on_clear="resubmit"'):
            attempt(operator(on_clear=policy, deferrable=False))
    assert len(accepted(emulator)) == 1

    second = harness.clear(operator(on_clear="resubmit", wait_for_completion=False))
    assert second["generation_id"] != first["generation_id"]


def test_a_result_with_expired_links_is_returned_with_a_warning(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clear after a day returns the same record, and logs when its links expired and how to pay for a new one."""
    result = harness.run(operator())
    record = harness.record
    harness.store.set(STORE_KEY, {**record, "result": {**result, "expires_at": "2026-01-01T00:00:00+00:00"}})

    assert harness.clear(operator())["generation_id"] == result["generation_id"]
    log = capsys.readouterr().out
    assert any("2026-01-01" in line and 'on_clear="resubmit"' in line for line in log.splitlines())
    assert len(accepted(emulator)) == 1


def test_the_last_read_is_repeated(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime) -> None:
    """If EvoLink fails just as the worker reads the end, the worker reads it again instead of failing."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    emulator.control.inject("server_error", on="read", times=4, status=503)

    record = task.execute_complete(harness.context, {"outcome": "terminal", "status": "completed"})
    assert record["status"] == "completed"
