"""One payment for one result, whatever goes wrong on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_evolink.api.errors import (
    GenerationFailedError,
    RateLimitedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.ledger import KEY, LedgerError
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from tests.stage import FailingStore, Stage, Store

TEXT = "gemini-omni-flash-text-to-video"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("sending", "submission"):
        monkeypatch.setattr(f"airflow_provider_evolink.{room}.PAUSE_SECONDS", 0.0)


def operator(prompt: str = "A lighthouse", **kwargs: Any) -> EvoLinkGenerateOperator:
    """A short text-to-video task."""
    return EvoLinkGenerateOperator(
        task_id="task", model=TEXT, parameters={"prompt": prompt, "duration": 3}, poll_interval=1, **kwargs
    )


def made(emulator: EmulatorHandle) -> list[dict[str, Any]]:
    """All generations that EvoLink has accepted."""
    generations: list[dict[str, Any]] = emulator.control.state()["generations"]
    return generations


class WorkerDied(BaseException):
    """A kill -9, as far as Python can play it: nothing after it runs."""


class DyingStore(Store):
    """A store whose worker dies around its n-th write."""

    def __init__(self, write: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = write, after

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Die before or after the write whose turn it is."""
        self.left -= 1
        if self.left == 0 and not self.after:
            raise WorkerDied
        super().set(key, value, retention=retention)
        if self.left == 0:
            raise WorkerDied


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_that_dies_around_any_write(emulator: EmulatorHandle, stage: Stage, write: int, after: bool) -> None:
    """Around the intent, the id or the end: the next try brings the result, and one generation was made."""
    stage.store = DyingStore(write, after=after)
    with pytest.raises(WorkerDied):
        stage.play(operator())

    record = stage.retry(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["status"] == "completed"
    assert record["try_number"] == 2


def test_a_lost_answer_is_settled_by_the_key(emulator: EmulatorHandle, stage: Stage) -> None:
    """The accepted submission's answer is lost: the same key brings the same generation, and that is said."""
    emulator.control.inject("lost_reply", on="submit")

    record = stage.play(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["replay"] == "confirmed"
    assert emulator.control.state()["requests"]["submit"] == 2


@pytest.mark.parametrize("fault", ["reset", "server_error", "html", "broken_json", "wrong_shape", "redirect"])
def test_answers_that_say_nothing_are_settled_too(emulator: EmulatorHandle, stage: Stage, fault: str) -> None:
    """Whatever stands in an answer's place, the request is repeated under its key and paid for once."""
    emulator.control.inject(fault, on="submit")

    record = stage.play(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["replay"] in {"confirmed", "unconfirmed"}


def test_an_unconfirmed_replay_is_said_loudly(
    emulator: EmulatorHandle, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the service does not recognise the key, log, ledger and record say that it may have been paid twice."""
    emulator.control.inject("lost_reply", on="submit")
    emulator.control.inject("ignore_idempotency", on="submit", times=None)

    record = stage.play(operator())

    assert len(made(emulator)) == 2
    assert record["replay"] == "unconfirmed"
    assert stage.store.get(KEY)["replay"] == "unconfirmed"


def test_a_service_that_stays_silent_leaves_the_intent(emulator: EmulatorHandle, stage: Stage) -> None:
    """After two lost answers the try fails, retryable; the next one goes on with the same key."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError, match="may have been accepted"):
        stage.play(operator())
    assert stage.store.get(KEY)["phase"] == "intent"

    record = stage.retry(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["reattached"] is True


def test_fail_never_sends_again(emulator: EmulatorHandle, stage: Stage) -> None:
    """With ``on_unknown_submission="fail"`` a lost answer ends the task, and no later try sends anything."""
    emulator.control.inject("lost_reply", on="submit")
    with pytest.raises(EvoLinkFailException, match="airflow-"):
        stage.play(operator(on_unknown_submission="fail"))
    with pytest.raises(EvoLinkFailException, match="Nothing was sent now"):
        stage.retry(operator(on_unknown_submission="fail"))

    assert emulator.control.state()["requests"]["submit"] == 1


def test_429_is_waited_out(emulator: EmulatorHandle, stage: Stage) -> None:
    """A submission turned away with 429 is sent again when told, under the same key, within the try."""
    emulator.control.inject("rate_limit", on="submit", times=2, retry_after=0.1)

    record = stage.play(operator())

    assert "replay" not in record
    assert len(made(emulator)) == 1


def test_429_without_end_withdraws_the_intent(emulator: EmulatorHandle, stage: Stage) -> None:
    """When 429 does not end, the try fails retryable with nothing charged and nothing unknown."""
    emulator.control.inject("rate_limit", on="submit", times=None, retry_after=0)
    with pytest.raises(RateLimitedError):
        stage.play(operator())

    assert stage.store.get(KEY)["phase"] == "withdrawn"
    assert made(emulator) == []


def test_a_known_rejection_withdraws_the_intent(emulator: EmulatorHandle, stage: Stage) -> None:
    """402 ends the task at once, says that nothing was charged, and a later try starts afresh."""
    emulator.control.add_credits(-1000)
    with pytest.raises(EvoLinkFailException, match="insufficient_quota"):
        stage.play(operator())
    assert stage.store.get(KEY)["phase"] == "withdrawn"

    emulator.control.add_credits(1000)
    assert stage.clear(operator())["status"] == "completed"
    assert len(made(emulator)) == 1


def test_a_ledger_that_cannot_be_read_sends_nothing(emulator: EmulatorHandle, stage: Stage) -> None:
    """Something unreadable in the store is never taken for an empty ledger."""
    stage.store.set(KEY, {"phase": "?"})

    with pytest.raises(LedgerError, match="nothing was sent"):
        stage.play(operator())

    assert emulator.control.state()["requests"]["total"] == 0


def test_no_store_no_submission(emulator: EmulatorHandle, stage: Stage) -> None:
    """Without a state store nothing is sent: a crash would make the next try pay again."""
    context = {**stage.context, "task_state_store": None}

    with pytest.raises(EvoLinkFailException, match="no state store"):
        operator().execute(context)
    assert emulator.control.state()["requests"]["total"] == 0


def test_a_failed_generation_may_be_made_anew(emulator: EmulatorHandle, stage: Stage) -> None:
    """EvoLink failed to make it: a retry submits under another key, and the record is of the new one."""
    emulator.control.inject("task_failure", code="service_error")
    with pytest.raises(GenerationFailedError, match="service_error") as caught:
        stage.play(operator())
    assert caught.value.generation_id in str(caught.value)

    record = stage.retry(operator())

    first, second = made(emulator)
    assert (first["status"], second["status"]) == ("failed", "completed")
    assert first["idempotency_key"] != second["idempotency_key"]
    assert (first["charged"], record["generation_id"]) == (0, second["id"])
    assert stage.store.get(KEY)["earlier"] == [first["id"]]


def test_moderation_ends_the_task(emulator: EmulatorHandle, stage: Stage) -> None:
    """What a new try can't mend ends the task at once, with EvoLink's code and message."""
    emulator.control.inject("moderation")
    with pytest.raises(EvoLinkFailException, match="content_policy_violation: Content policy violation"):
        stage.play(operator())

    with pytest.raises(EvoLinkFailException, match="content_policy_violation"):
        stage.retry(operator())
    assert len(made(emulator)) == 1


def test_a_clear_reuses_what_was_paid_for(emulator: EmulatorHandle, stage: Stage) -> None:
    """By default a cleared task hands its result on again, and nothing is sent."""
    first = stage.play(operator())
    again = stage.clear(operator())

    assert again == {**first, "reattached": True, "try_number": 2}
    assert len(made(emulator)) == 1
    assert stage.ti.xcoms["result_link"] == first["results"][0]


def test_a_clear_buys_anew_if_told(emulator: EmulatorHandle, stage: Stage) -> None:
    """With ``on_clear="resubmit"`` a clear buys anew, but a retry after the result was handed on does not."""
    first = stage.play(operator(on_clear="resubmit"))
    assert stage.retry(operator(on_clear="resubmit"))["generation_id"] == first["generation_id"]

    again = stage.clear(operator(on_clear="resubmit"))

    assert again["generation_id"] != first["generation_id"]
    assert len(made(emulator)) == 2


def test_a_changed_prompt_is_never_answered_with_the_old_video(emulator: EmulatorHandle, stage: Stage) -> None:
    """A changed request fails with the facts; told to, it is paid for anew and the old id is kept."""
    first = stage.play(operator("A lighthouse"))
    with pytest.raises(EvoLinkFailException, match=first["generation_id"]):
        stage.clear(operator("A harbour"))
    assert len(made(emulator)) == 1

    second = stage.clear(operator("A harbour", on_changed_input="resubmit"))

    assert second["generation_id"] != first["generation_id"]
    assert stage.store.get(KEY)["earlier"] == [first["generation_id"]]


def test_a_kill_before_the_submission_prevents_it(emulator: EmulatorHandle, stage: Stage) -> None:
    """A task told to stop before it has sent anything sends nothing."""
    task = operator()
    task.on_kill()

    with pytest.raises(Exception, match="told to stop before the submission"):
        stage.play(task)
    assert emulator.control.state()["requests"]["total"] == 0
    assert stage.store.get(KEY)["phase"] == "withdrawn"


def test_mapped_siblings_pay_each_for_their_own(emulator: EmulatorHandle) -> None:
    """Two map indexes with the same request are two submissions."""
    for index in (0, 1):
        sibling = Stage()
        sibling.ti.map_index = index
        sibling.play(operator(wait_for_completion=False))

    assert len({one["idempotency_key"] for one in made(emulator)}) == 2


def test_a_kill_after_the_submission_says_what_goes_on(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task told to stop while it waits names the generation that goes on, and how to collect it."""
    task = operator(wait_for_completion=False)
    identity = stage.play(task)["generation_id"]
    task.on_kill()

    said = capsys.readouterr().out
    assert f"Generation {identity} goes on" in said
    assert "stays paid for (30.7 credits reserved)" in said
    assert f'EvoLinkGenerationSensor(task_id="collect", generation_id="{identity}"' in said


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that may disappear."""
    path = tmp_path / "picture.png"
    path.write_bytes((Path(__file__).parents[1] / "data" / "frame.png").read_bytes())
    return path


def from_picture(picture: Path, **kwargs: Any) -> EvoLinkImageToVideoOperator:
    """A short image-to-video task."""
    given = {"duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="task", prompt="x", image=str(picture), **given)


def test_a_picture_that_is_gone_does_not_stop_what_was_paid(
    emulator: EmulatorHandle, stage: Stage, picture: Path
) -> None:
    """When the input can't be read any more, a retry and a clear go on with what is paid for."""
    stage.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        stage.play(from_picture(picture))
    picture.unlink()

    assert stage.retry(from_picture(picture))["status"] == "completed"
    assert stage.clear(from_picture(picture))["status"] == "completed"
    assert len(made(emulator)) == 1


def test_a_picture_that_is_gone_does_not_hide_a_doubt(emulator: EmulatorHandle, stage: Stage, picture: Path) -> None:
    """With a lost answer before, a vanished picture is no reason to say that nothing was charged."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        stage.play(from_picture(picture))
    picture.unlink()

    with pytest.raises(EvoLinkFailException, match="may have been charged"):
        stage.retry(from_picture(picture))


def test_a_mistake_of_now_does_not_hide_what_was_paid(emulator: EmulatorHandle, stage: Stage, picture: Path) -> None:
    """A value out of range names the generation that an earlier try has paid for."""
    stage.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        stage.play(from_picture(picture))

    with pytest.raises(EvoLinkFailException, match=f"duration=11 .*{made(emulator)[0]['id']}"):
        stage.retry(from_picture(picture, duration=11))
    assert len(made(emulator)) == 1


def test_a_ledger_that_never_got_the_id_loses_nothing(emulator: EmulatorHandle, stage: Stage) -> None:
    """When the id could not be written, the event still carries it, and the video is handed on."""
    stage.store = FailingStore(2, 3, 4)

    record = stage.play(operator())

    assert record["status"] == "completed"
    assert stage.store.get(KEY)["phase"] == "finished"
    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_a_failure_that_was_not_waited_for_is_made_anew(emulator: EmulatorHandle, stage: Stage) -> None:
    """A task that did not wait looks once when it is run again: what failed since is submitted anew, and told."""
    emulator.control.inject("task_failure", code="service_error")
    first = stage.play(operator(wait_for_completion=False))
    emulator.control.advance(1000)

    again = stage.clear(operator(wait_for_completion=False))

    assert again["generation_id"] != first["generation_id"]
    assert stage.store.get(KEY)["earlier"] == [first["generation_id"]]
    assert stage.clear(operator())["generation_id"] == again["generation_id"]


def test_a_retry_that_finds_the_video_ready_takes_it(emulator: EmulatorHandle, stage: Stage) -> None:
    """When the generation has ended meanwhile, a later try finishes at once instead of waiting again."""
    first = stage.play(operator(wait_for_completion=False))
    emulator.control.advance(1000)

    record = stage.retry(operator())

    assert (record["generation_id"], record["status"]) == (first["generation_id"], "completed")
    assert (record["reattached"], stage.deferrals) == (True, [])


def test_what_evolink_has_dropped_is_bought_again_only_if_told(emulator: EmulatorHandle, stage: Stage) -> None:
    """A generation that EvoLink does not know any more is told; a clear with ``resubmit`` pays for a new one."""
    lost = stage.play(operator(wait_for_completion=False))["generation_id"]
    stage.store.set(KEY, {**stage.store.get(KEY), "submitted_at": 1000.0})
    emulator.control.inject("vanished", on="read", times=3)
    with pytest.raises(EvoLinkFailException, match=rf"{lost}.*30\.7 credits.*not known to EvoLink any more"):
        stage.retry(operator(on_clear="resubmit"))
    with pytest.raises(EvoLinkFailException, match="not known to EvoLink any more"):
        stage.clear(operator())

    record = stage.clear(operator(on_clear="resubmit"))

    assert record["status"] == "completed"
    assert stage.store.get(KEY)["earlier"] == [lost]


def test_a_result_whose_links_have_died_is_handed_on_with_a_word(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clear after a day gives the same record, and says that its links are dead and how to pay for a new one."""
    result = stage.play(operator())
    kept = stage.store.get(KEY)
    stage.store.set(KEY, {**kept, "result": {**result, "expires_at": "2026-01-01T00:00:00+00:00"}})

    assert stage.clear(operator())["generation_id"] == result["generation_id"]
    assert "have died at 2026-01-01" in capsys.readouterr().out
    assert len(made(emulator)) == 1


def test_the_last_look_is_patient(emulator: EmulatorHandle, stage: Stage) -> None:
    """When EvoLink fails just as the worker reads the end, the task waits again instead of failing."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(stage.context)
    emulator.control.advance(1000)
    emulator.control.inject("server_error", on="read", times=4, status=503)

    with pytest.raises(TaskDeferred):
        task.execute_complete(stage.context, {"outcome": "final", "status": "completed"})
    record = task.execute_complete(stage.context, {"outcome": "final", "status": "completed"})
    assert record["status"] == "completed"
