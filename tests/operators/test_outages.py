"""Outages of the paid request: however long and of whatever kind, they end with one submission and one charge."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_evolink.api.errors import NotSentError, RateLimitedError, SubmissionUnknownError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.submission.decision import REPLAY_SECONDS
from tests.operators.orders import made, operator
from tests.stage import Stage

pytestmark = pytest.mark.usefixtures("no_pauses")

# Which of the two depends on whether the kill comes before or after the answer.
TURNED_AWAY = (NotSentError, RateLimitedError)


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("server_error", {"status": 503}),
        ("server_error", {"status": 500}),
        ("html_response", {"status": 502}),
        ("connection_reset", {}),
        ("lost_reply", {}),
    ],
)
def test_an_outage_over_many_tries_ends_with_one_charge(
    emulator: EmulatorHandle, stage: Stage, fault: str, options: dict[str, Any]
) -> None:
    """Five tries meet nothing but failures; the sixth is accepted, under the key of the first."""
    emulator.control.inject(fault, on="submit", times=10, **options)
    with pytest.raises(SubmissionUnknownError) as caught:
        stage.play(operator())
    for _ in range(4):
        with pytest.raises(SubmissionUnknownError):
            stage.retry(operator())
    assert not caught.value.permanent

    record = stage.retry(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["status"] == "completed"


@pytest.mark.parametrize("policies", [{}, {"on_clear": "resubmit"}, {"on_changed_input": "resubmit"}])
def test_a_clear_gets_out_of_an_outage(emulator: EmulatorHandle, stage: Stage, policies: dict[str, Any]) -> None:
    """When every retry is used up, the outage is over and somebody clears the task, it goes on."""
    emulator.control.inject("server_error", on="submit", times=6, status=503)
    with pytest.raises(SubmissionUnknownError):
        stage.play(operator(**policies))
    for _ in range(2):
        with pytest.raises(SubmissionUnknownError):
            stage.retry(operator(**policies))

    record = stage.clear(operator(**policies))

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_what_evolink_still_works_on_is_not_given_up(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acceptance that takes longer than the answer is waited for is asked for until it is there."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", impatient(emulator))
    emulator.control.inject("slow_acceptance", on="submit", seconds=4)

    record = stage.play(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert (record["replay"], record["status"]) == ("confirmed", "completed")


def test_the_deadline_counts_from_the_sending_that_was_accepted(emulator: EmulatorHandle, stage: Stage) -> None:
    """Tries that EvoLink turned away, an hour apart, leave the whole timeout to the generation."""
    emulator.control.inject("server_error", on="submit", times=4, status=503)
    for attempt in (stage.play, stage.retry):
        with pytest.raises(SubmissionUnknownError):
            attempt(operator(timeout=100))
        earlier_by(stage, 3600)

    record = stage.retry(operator(timeout=100))

    assert record["status"] == "completed"
    assert abs(stage.record["submitted_at"] - time.time()) < 60
    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_a_key_that_may_be_forgotten_is_not_sent_again_unasked(emulator: EmulatorHandle, stage: Stage) -> None:
    """A doubt of yesterday is left to a person, and the documented way out works by a clear."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        stage.play(operator())
    earlier_by(stage, REPLAY_SECONDS)

    for again in (stage.retry, stage.clear):
        with pytest.raises(EvoLinkFailException, match=r"may have been charged.*on_clear=\"resubmit\" and clear"):
            again(operator())
    assert len(made(emulator)) == 1

    record = stage.clear(operator(on_clear="resubmit"))
    assert record["status"] == "completed"
    assert len(made(emulator)) == 2


def test_a_clear_that_sent_the_key_again_is_used_up(emulator: EmulatorHandle, stage: Stage) -> None:
    """A retry of that clear, after the key may be forgotten, asks for another one before it pays under a new key."""
    emulator.control.inject("server_error", on="submit", times=4, status=503)
    for attempt in (stage.play, stage.clear):
        with pytest.raises(SubmissionUnknownError):
            attempt(operator(on_clear="resubmit"))
    stage.store.set("evolink.2", {**stage.record, "in_doubt_since": time.time() - REPLAY_SECONDS})

    with pytest.raises(EvoLinkFailException, match="too long ago"):
        stage.retry(operator(on_clear="resubmit"))
    assert made(emulator) == []
    assert stage.clear(operator(on_clear="resubmit"))["status"] == "completed"


def test_fail_has_a_way_out_by_clear(emulator: EmulatorHandle, stage: Stage) -> None:
    """With ``on_unknown_submission="fail"`` a person who has looked clears with ``resubmit``: a new key is sent."""
    policy = {"on_unknown_submission": "fail"}
    emulator.control.inject("server_error", on="submit", status=503)
    with pytest.raises(EvoLinkFailException, match=r"on_clear=\"resubmit\" and clear the task"):
        stage.play(operator(**policy))
    with pytest.raises(EvoLinkFailException, match="Nothing was sent now"):
        stage.clear(operator(**policy))

    record = stage.clear(operator(**policy, on_clear="resubmit"))

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_no_submission_after_a_kill(emulator: EmulatorHandle, stage: Stage) -> None:
    """A task that is told to stop while it waits for its turn sends nothing more."""
    emulator.control.inject("rate_limit", on="submit", retry_after=1.5)
    task = operator()
    threading.Timer(0.3, task.on_kill).start()

    with pytest.raises(TURNED_AWAY, match="othing was charged"):
        stage.play(task)

    assert emulator.control.state()["requests"]["submit"] == 1
    assert (made(emulator), stage.record["phase"]) == ([], "withdrawn")


def test_no_submission_inside_a_task_after_a_kill(emulator: EmulatorHandle, stage: Stage) -> None:
    """Airflow tells the task around it only, which passes it on to the call that is under way and to each after it."""
    emulator.control.inject("rate_limit", on="submit", retry_after=1.5)
    outer = BaseOperator(task_id="outer")

    def stop() -> None:
        outer.on_kill()

    threading.Timer(0.3, stop).start()

    for _ in range(2):
        with pytest.raises(TURNED_AWAY, match="othing was charged"):
            operator().execute({**stage.context, "task": outer})

    assert emulator.control.state()["requests"]["submit"] == 1
    assert made(emulator) == []


@pytest.mark.parametrize(
    "outer", [SimpleNamespace(task_id="outer"), BaseOperator.partial(task_id="outer").expand(doc_md=["a"])]
)
def test_what_cannot_be_told_to_stop_may_be_around(emulator: EmulatorHandle, stage: Stage, outer: Any) -> None:
    """A stand-in for a task, as in a test of the user's own, has no ``on_kill``, and stops nothing."""
    record = operator(wait_for_completion=False).execute({**stage.context, "task": outer})

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_what_was_under_way_at_a_kill_is_named(
    emulator: EmulatorHandle, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer comes after the task was told to stop: the log says what goes on, its price, and who collects it."""
    emulator.control.inject("slow_response", on="submit", seconds=1)
    task = operator(wait_for_completion=False)
    threading.Timer(0.4, task.on_kill).start()

    record = stage.play(task)

    before, _, after = capsys.readouterr().out.partition("What is being submitted just now may be paid for")
    assert record["generation_id"] not in before
    assert f"{record['generation_id']} goes on at EvoLink, which can't cancel it, and stays paid for (30.7" in after


def test_every_sending_is_written_before_it_leaves(emulator: EmulatorHandle, stage: Stage) -> None:
    """Also those that were turned away: the ledger counts what the service has got."""
    emulator.control.inject("rate_limit", on="submit", times=3, retry_after=0)

    stage.play(operator(wait_for_completion=False))

    intents = [write["send_count"] for write in stage.store.writes if write["phase"] == "intent"]
    assert intents == [1, 2, 3, 4]
    assert emulator.control.state()["requests"]["submit"] == 4


def test_another_account_is_not_asked_to_pay_for_a_doubt(
    emulator: EmulatorHandle, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key in the connection became another account's: the doubt stays where it is, with the facts."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        stage.play(operator())
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", impatient(emulator, api_key="sk-of-another-account-4711"))

    with pytest.raises(EvoLinkFailException, match="API key is another one now"):
        stage.retry(operator())
    assert len(made(emulator)) == 1
    assert "sk-of-another-account" not in str(stage.store.held)


def impatient(emulator: EmulatorHandle, api_key: str | None = None) -> str:
    """A connection that waits a second for an answer, or has another key."""
    key = api_key or emulator.api_key
    extra = '{"submit_timeout": 1, "timeout": 1}'
    return f'{{"conn_type": "evolink", "host": "{emulator.url}", "password": "{key}", "extra": {extra}}}'


def earlier_by(stage: Stage, seconds: float) -> None:
    """Let time pass for what the ledger holds."""
    record = stage.record
    moved = {
        name: record[name] - seconds for name in ("intent_at", "last_sent_at", "in_doubt_since") if record.get(name)
    }
    newest = max(stage.store.held, key=lambda entry: (len(entry), entry))
    stage.store.set(newest, {**record, **moved})
