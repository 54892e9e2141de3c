"""What a later try or a clear makes of what was paid for: taken again, or made anew, and neither unasked."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_evolink.api.errors import (
    GenerationFailedError,
    GenerationTimeoutError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.api.generation import Generation, Usage
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerError
from tests.leaping import LeapingTime
from tests.operators.orders import DyingStore, WorkerDied, made, operator
from tests.task_harness import FailingStore, TaskHarness

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_failed_generation_may_be_made_anew(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """EvoLink failed to make it: a retry submits under another key, and the record is of the new one."""
    emulator.control.inject("generation_failed", code="service_error")
    with pytest.raises(GenerationFailedError, match="service_error") as caught:
        harness.run(operator())
    assert caught.value.generation_id in str(caught.value)

    record = harness.retry(operator())

    first, second = made(emulator)
    assert (first["status"], second["status"]) == ("failed", "completed")
    assert first["idempotency_key"] != second["idempotency_key"]
    assert (first["charged"], record["generation_id"]) == (0, second["id"])
    assert harness.record["previous_ids"] == [first["id"]]


def test_moderation_ends_the_task(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """What a new try can't mend ends the task at once, with EvoLink's code and message."""
    emulator.control.inject("moderation_rejected")
    with pytest.raises(EvoLinkFailException, match="content_policy_violation: Content policy violation"):
        harness.run(operator())

    with pytest.raises(EvoLinkFailException, match="content_policy_violation"):
        harness.retry(operator())
    assert len(made(emulator)) == 1


def test_a_clear_reuses_what_was_paid_for(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """By default a cleared task hands its result on again, and nothing is sent."""
    first = harness.run(operator())
    again = harness.clear(operator())

    assert again == {**first, "reattached": True, "try_number": 2}
    assert len(made(emulator)) == 1
    assert harness.ti.xcoms["result_link"] == first["results"][0]


def test_a_clear_buys_anew_if_told(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With ``on_clear="resubmit"`` a clear buys anew, but a retry after the result was handed on does not."""
    first = harness.run(operator(on_clear="resubmit"))
    assert harness.retry(operator(on_clear="resubmit"))["generation_id"] == first["generation_id"]

    again = harness.clear(operator(on_clear="resubmit"))

    assert again["generation_id"] != first["generation_id"]
    assert len(made(emulator)) == 2


def test_a_changed_prompt_is_never_answered_with_the_old_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A changed request fails with the facts; told to, it is paid for anew and the old id is kept."""
    first = harness.run(operator("A lighthouse"))
    with pytest.raises(EvoLinkFailException, match=first["generation_id"]):
        harness.clear(operator("A harbour"))
    assert len(made(emulator)) == 1

    second = harness.clear(operator("A harbour", on_changed_input="resubmit"))

    assert second["generation_id"] != first["generation_id"]
    assert harness.record["previous_ids"] == [first["generation_id"]]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that may disappear."""
    path = tmp_path / "picture.png"
    path.write_bytes((Path(__file__).parents[1] / "data" / "frame.png").read_bytes())
    return path


def from_picture(picture: Path, **kwargs: Any) -> EvoLinkImageToVideoOperator:
    """A short image-to-video task."""
    given = {"duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="task", prompt="x", **{"image": str(picture), **given})


def test_a_picture_that_is_gone_does_not_stop_what_was_paid(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """When the input can't be read any more, a retry and a clear go on with what is paid for."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        harness.run(from_picture(picture))
    picture.unlink()

    assert harness.retry(from_picture(picture))["status"] == "completed"
    assert harness.clear(from_picture(picture))["status"] == "completed"
    assert len(made(emulator)) == 1


def test_a_picture_that_is_gone_does_not_hide_a_doubt(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """With a lost answer before, a vanished picture is no reason to say that nothing was charged."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(from_picture(picture))
    picture.unlink()

    with pytest.raises(EvoLinkFailException, match="may have been charged"):
        harness.retry(from_picture(picture))


def test_another_request_does_not_hide_a_doubt(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With a lost answer before, a changed request names the key, and no sensor, which would need an id."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())

    with pytest.raises(
        EvoLinkFailException, match=f"accepted and charged .key {harness.record['idempotency_key']}"
    ) as changed:
        harness.retry(operator("A harbour"))
    assert "Sensor" not in str(changed.value)
    assert harness.clear(operator())["status"] == "completed"


def test_a_ledger_that_fails_does_not_hide_a_doubt(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The first answer was lost, and the second sending can't be written: the text says what the first may cost."""
    harness.store = FailingStore(2)
    emulator.control.inject("lost_reply", on="submit")

    with pytest.raises(LedgerError, match="An earlier sending may have been accepted and charged"):
        harness.run(operator())


def test_a_mistake_of_now_does_not_hide_what_was_paid(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """A value out of range names the generation that an earlier try has paid for."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        harness.run(from_picture(picture))

    with pytest.raises(EvoLinkFailException, match=f"`duration`=11 .*{made(emulator)[0]['id']}"):
        harness.retry(from_picture(picture, duration=11))
    assert len(made(emulator)) == 1


@pytest.mark.parametrize("policy", ["replay", "fail"])
@pytest.mark.parametrize("mistake", [{"duration": 11}, {"image": "gone.png"}, {"timeout": 0}])
def test_a_mistake_of_now_does_not_hide_a_doubt(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path, policy: str, mistake: dict[str, Any]
) -> None:
    """With a lost answer before, no mistake in the input is a reason to say that nothing was charged."""
    emulator.control.inject("lost_reply", on="submit", times=None)
    with pytest.raises((SubmissionUnknownError, EvoLinkFailException)):
        harness.run(from_picture(picture, on_unknown_submission=policy))

    for again in (harness.retry, harness.clear):
        with pytest.raises(EvoLinkFailException, match="may have been charged") as caught:
            again(from_picture(picture, on_unknown_submission=policy, **mistake))
        assert harness.record["idempotency_key"] in str(caught.value)
        assert "nothing was charged" not in str(caught.value)


def test_a_mistake_of_now_does_not_hide_a_result(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A value out of range names the result that an earlier try has paid for, and how to collect it."""
    record = harness.run(operator())

    with pytest.raises(EvoLinkFailException, match=f"{record['generation_id']}.*collect") as caught:
        harness.clear(operator(timeout=0))
    assert "nothing was charged" not in str(caught.value)


def test_storage_that_is_away_for_a_while_does_not_end_the_retries_over_a_doubt(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a lost answer before, a picture that can't be read just now leaves the doubt to the next try."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(from_picture(picture))
    with monkeypatch.context() as away:
        away.setattr(
            "airflow_provider_evolink.operators.image_input._head",
            Mock(side_effect=RuntimeError("the storage is away")),
        )
        with pytest.raises(SubmissionUnknownError, match=r"away.*may have been charged"):
            harness.retry(from_picture(picture))

    assert harness.retry(from_picture(picture))["status"] == "completed"
    assert len(made(emulator)) == 1


def test_a_ledger_that_never_got_the_id_loses_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """When the id could not be written, the event still carries it, and the video is handed on."""
    harness.store = FailingStore(2, 3, 4)

    record = harness.run(operator())

    assert record["status"] == "completed"
    assert harness.record["phase"] == "finished"
    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_a_failure_that_was_not_waited_for_is_made_anew(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that did not wait looks once when it is run again: what failed since is submitted anew, and told."""
    emulator.control.inject("generation_failed", code="service_error")
    first = harness.run(operator(wait_for_completion=False))
    emulator.control.advance(1000)

    again = harness.clear(operator(wait_for_completion=False))

    assert again["generation_id"] != first["generation_id"]
    assert harness.record["previous_ids"] == [first["generation_id"]]
    assert harness.clear(operator())["generation_id"] == again["generation_id"]


def test_a_retry_that_finds_the_video_ready_takes_it(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """When the generation has ended meanwhile, a later try finishes at once instead of waiting again."""
    first = harness.run(operator(wait_for_completion=False))
    emulator.control.advance(1000)

    record = harness.retry(operator())

    assert (record["generation_id"], record["status"]) == (first["generation_id"], "completed")
    assert (record["reattached"], harness.deferrals) == (True, [])


def test_what_evolink_has_dropped_is_bought_again_only_if_told(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A generation that EvoLink does not know any more is reported; a clear with ``resubmit`` pays for a new one."""
    lost = harness.run(operator(wait_for_completion=False))["generation_id"]
    # Looked for in vain an hour ago, too.
    long_ago = {
        "submitted_at": time.time() - 7200,
        "missing_since": time.time() - 3600,
        "finished_without_waiting": False,
    }
    harness.store.set(STORE_KEY, {**harness.record, **long_ago})
    emulator.control.inject("not_found", on="read", times=3)
    with pytest.raises(EvoLinkFailException, match=rf"{lost}.*30\.7 credits.*not known to EvoLink any more"):
        harness.retry(operator(on_clear="resubmit"))
    with pytest.raises(EvoLinkFailException, match="not known to EvoLink any more"):
        harness.clear(operator())

    record = harness.clear(operator(on_clear="resubmit"))

    assert record["status"] == "completed"
    assert harness.record["previous_ids"] == [lost]


def test_the_first_clear_buys_what_was_missing_for_minutes(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker has found out in minutes, that EvoLink has no such generation, the next try need not find again."""
    monkeypatch.setattr("airflow_provider_evolink.submission.submitter.NOT_FOUND_GRACE", 0.0)
    task = operator(on_clear="resubmit")
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject("not_found", on="read", times=None)
    with pytest.raises(EvoLinkFailException, match=r"on_clear=.resubmit., pays for a new one"):
        task.execute_complete(harness.context, {"outcome": "refused"})
    assert leaping.slept

    harness.ti.try_number, harness.ti.max_tries = 2, 1
    with pytest.raises(TaskDeferred):
        operator(on_clear="resubmit").execute(harness.context)
    assert len(made(emulator)) == 2


def test_a_clear_buys_again_what_was_not_waited_for(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that succeeds at the submission is finished by it: the first clear with ``resubmit`` buys a new one."""
    first = harness.run(operator(wait_for_completion=False, on_clear="resubmit"))
    emulator.control.advance(1000)

    again = harness.retry(operator(wait_for_completion=False, on_clear="resubmit"))
    cleared = harness.clear(operator(wait_for_completion=False, on_clear="resubmit"))

    assert again["generation_id"] == first["generation_id"]
    assert cleared["generation_id"] != first["generation_id"]
    assert len(made(emulator)) == 2


def test_lowered_retries_do_not_hide_a_clear(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Any change of Airflow's figure for the last try is a clear, and so is one to less, after lower ``retries``."""
    harness.ti.max_tries = 5
    first = harness.run(operator(retries=5, on_clear="resubmit"))

    record = harness.clear(operator(retries=1, on_clear="resubmit"))

    assert harness.ti.max_tries == 2
    assert record["generation_id"] != first["generation_id"]
    assert len(made(emulator)) == 2


def test_a_failure_that_was_charged_is_not_bought_again_for_a_changed_request(
    emulator: EmulatorHandle, harness: TaskHarness
) -> None:
    """What ``on_changed_input`` says of a paid generation holds for one that failed and was charged."""
    first = harness.run(operator(wait_for_completion=False))
    harness.store.set(
        STORE_KEY, {**harness.record, "phase": "failed", "was_charged": True, "error_code": "service_error"}
    )

    with pytest.raises(EvoLinkFailException, match=rf"has changed.*{first['generation_id']}") as caught:
        harness.retry(operator("A harbour"))
    assert "was charged. Nothing was sent now. Clear the task, or set" in str(caught.value)
    assert len(made(emulator)) == 1
    assert harness.retry(operator("A harbour", on_changed_input="resubmit"))["status"] == "completed"
    assert len(made(emulator)) == 2


def charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on each generation has failed at EvoLink, and was charged."""
    read = EvoLinkHook.get_generation

    def failed(hook: EvoLinkHook, generation_id: str) -> Generation:
        usage = Usage(credits_used=29.78)
        return replace(read(hook, generation_id), status="failed", error_code="service_error", usage=usage)

    monkeypatch.setattr(EvoLinkHook, "get_generation", failed)


def test_a_clear_before_the_charge_was_known_pays_for_nothing(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever clears a task that has run out of time wants its video; that it failed and was charged comes first."""
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    charged(monkeypatch)

    for again in (harness.clear, harness.retry):
        with pytest.raises(EvoLinkFailException, match="EvoLink charged it, so nothing was sent"):
            again(operator())
    assert len(made(emulator)) == 1

    harness.clear(operator(wait_for_completion=False))
    assert len(made(emulator)) == 2


def test_a_clear_of_what_was_handed_over_pays_for_a_failure_at_once(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits elsewhere has read of the failure there, before clearing the task that submits."""
    harness.run(operator(wait_for_completion=False))
    charged(monkeypatch)

    harness.clear(operator(wait_for_completion=False))
    assert len(made(emulator)) == 2


def test_a_clear_counts_once(emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear that has settled a lost answer is not taken, by a later retry, for a wish to pay for a failure again."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())
    harness.ti.max_tries = harness.ti.try_number = 2
    with pytest.raises(TaskDeferred):
        operator().execute(harness.context)
    charged(monkeypatch)

    with pytest.raises(EvoLinkFailException, match="EvoLink charged it"):
        harness.retry(operator())
    assert len(made(emulator)) == 1


@pytest.mark.parametrize("wish", [{"on_clear": "resubmit"}, {"on_changed_input": "resubmit", "prompt": "A harbour"}])
def test_what_was_not_taken_replaces_nothing(
    emulator: EmulatorHandle, harness: TaskHarness, wish: dict[str, str]
) -> None:
    """Who takes a wish for a new one back, since EvoLink refused it, is handed the old one."""
    first = harness.run(operator())
    emulator.control.inject("http_error", on="submit", status=402)
    with pytest.raises(EvoLinkFailException, match="402"):
        harness.clear(operator(**wish))

    assert harness.clear(operator())["generation_id"] == first["generation_id"]
    assert len(made(emulator)) == 1


def test_a_wish_that_was_not_taken_lasts(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A clear for a new one that EvoLink turned away is not used up: the next try pays, once."""
    first = harness.run(operator())
    emulator.control.inject("http_error", on="submit", status=402)
    with pytest.raises(EvoLinkFailException, match="402"):
        harness.clear(operator(on_clear="resubmit"))

    for _ in range(2):
        second = harness.retry(operator(on_clear="resubmit"))

    assert [one["id"] for one in made(emulator)] == [first["generation_id"], second["generation_id"]]


def test_a_clear_does_not_wait_for_ever(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has not ended when its links would be dead is replaced, by a clear that says so and by no other try."""
    first = harness.run(operator(wait_for_completion=False))
    harness.store.set(
        STORE_KEY, {**harness.record, "finished_without_waiting": False, "submitted_at": time.time() - 86_401}
    )
    read = EvoLinkHook.get_generation
    monkeypatch.setattr(EvoLinkHook, "get_generation", lambda hook, id_: replace(read(hook, id_), status="processing"))

    for again, policy in ((harness.retry, "resubmit"), (harness.clear, "reuse")):
        with pytest.raises(GenerationTimeoutError, match='on, a clear with on_clear="resubmit" pays for a new one'):
            again(operator(on_clear=policy, deferrable=False))
    assert len(made(emulator)) == 1

    second = harness.clear(operator(on_clear="resubmit", wait_for_completion=False))
    assert second["generation_id"] != first["generation_id"]


def test_a_result_whose_links_have_died_is_handed_on_with_a_word(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clear after a day gives the same record, and says that its links are dead and how to pay for a new one."""
    result = harness.run(operator())
    kept = harness.record
    harness.store.set(STORE_KEY, {**kept, "result": {**result, "expires_at": "2026-01-01T00:00:00+00:00"}})

    assert harness.clear(operator())["generation_id"] == result["generation_id"]
    assert "have died at 2026-01-01" in capsys.readouterr().out
    assert len(made(emulator)) == 1


def test_the_last_look_is_patient(emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime) -> None:
    """When EvoLink fails just as the worker reads the end, the worker reads it again instead of failing."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.advance(1000)
    emulator.control.inject("server_error", on="read", times=4, status=503)

    record = task.execute_complete(harness.context, {"outcome": "terminal", "status": "completed"})
    assert record["status"] == "completed"
