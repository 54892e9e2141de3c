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
from tests.task_harness import TaskHarness

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
    emulator: EmulatorHandle, harness: TaskHarness, fault: str, options: dict[str, Any]
) -> None:
    """Five tries meet nothing but failures; the sixth is accepted, under the key of the first."""
    emulator.control.inject(fault, on="submit", times=10, **options)
    with pytest.raises(SubmissionUnknownError) as caught:
        harness.run(operator())
    for _ in range(4):
        with pytest.raises(SubmissionUnknownError):
            harness.retry(operator())
    assert not caught.value.permanent

    record = harness.retry(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["status"] == "completed"


@pytest.mark.parametrize("policies", [{}, {"on_clear": "resubmit"}, {"on_changed_input": "resubmit"}])
def test_a_clear_gets_out_of_an_outage(
    emulator: EmulatorHandle, harness: TaskHarness, policies: dict[str, Any]
) -> None:
    """When every retry is used up, the outage is over and somebody clears the task, it goes on."""
    emulator.control.inject("server_error", on="submit", times=6, status=503)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator(**policies))
    for _ in range(2):
        with pytest.raises(SubmissionUnknownError):
            harness.retry(operator(**policies))

    record = harness.clear(operator(**policies))

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_what_evolink_still_works_on_is_not_given_up(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acceptance that takes longer than the answer is waited for is asked for until it is there."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", impatient(emulator))
    emulator.control.inject("slow_acceptance", on="submit", seconds=4)

    record = harness.run(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert (record["replay"], record["status"]) == ("confirmed", "completed")


def test_the_deadline_counts_from_the_sending_that_was_accepted(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Tries that EvoLink turned away, an hour apart, leave the whole timeout to the generation."""
    emulator.control.inject("server_error", on="submit", times=4, status=503)
    for attempt in (harness.run, harness.retry):
        with pytest.raises(SubmissionUnknownError):
            attempt(operator(timeout=100))
        earlier_by(harness, 3600)

    record = harness.retry(operator(timeout=100))

    assert record["status"] == "completed"
    assert abs(harness.record["submitted_at"] - time.time()) < 60
    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_a_key_that_may_be_forgotten_is_not_sent_again_unasked(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A doubt of yesterday is left to a person, and the documented way out works by a clear."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())
    earlier_by(harness, REPLAY_SECONDS)

    for again in (harness.retry, harness.clear):
        with pytest.raises(EvoLinkFailException, match=r"may have been charged.*on_clear=\"resubmit\" and clear"):
            again(operator())
    assert len(made(emulator)) == 1

    record = harness.clear(operator(on_clear="resubmit"))
    assert record["status"] == "completed"
    assert len(made(emulator)) == 2


def test_a_clear_that_sent_the_key_again_is_used_up(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A retry of that clear, after the key may be forgotten, asks for another one before it pays under a new key."""
    emulator.control.inject("server_error", on="submit", times=4, status=503)
    for attempt in (harness.run, harness.clear):
        with pytest.raises(SubmissionUnknownError):
            attempt(operator(on_clear="resubmit"))
    harness.store.set("evolink.2", {**harness.record, "in_doubt_since": time.time() - REPLAY_SECONDS})

    with pytest.raises(EvoLinkFailException, match="too long ago"):
        harness.retry(operator(on_clear="resubmit"))
    assert made(emulator) == []
    assert harness.clear(operator(on_clear="resubmit"))["status"] == "completed"


def test_fail_has_a_way_out_by_clear(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With ``on_unknown_submission="fail"`` a person who has looked clears with ``resubmit``: a new key is sent."""
    policy = {"on_unknown_submission": "fail"}
    emulator.control.inject("server_error", on="submit", status=503)
    with pytest.raises(EvoLinkFailException, match=r"on_clear=\"resubmit\" and clear the task"):
        harness.run(operator(**policy))
    with pytest.raises(EvoLinkFailException, match="Nothing was sent now"):
        harness.clear(operator(**policy))

    record = harness.clear(operator(**policy, on_clear="resubmit"))

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_no_submission_after_a_kill(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that is told to stop while it waits for its turn sends nothing more."""
    emulator.control.inject("rate_limit", on="submit", retry_after=1.5)
    task = operator()
    threading.Timer(0.3, task.on_kill).start()

    with pytest.raises(TURNED_AWAY, match="othing was charged"):
        harness.run(task)

    assert emulator.control.state()["requests"]["submit"] == 1
    assert (made(emulator), harness.record["phase"]) == ([], "withdrawn")


def test_no_submission_inside_a_task_after_a_kill(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Airflow tells the task around it only, which passes it on to the call that is under way and to each after it."""
    emulator.control.inject("rate_limit", on="submit", retry_after=1.5)
    outer = BaseOperator(task_id="outer")

    def stop() -> None:
        outer.on_kill()

    threading.Timer(0.3, stop).start()

    for _ in range(2):
        with pytest.raises(TURNED_AWAY, match="othing was charged"):
            operator().execute({**harness.context, "task": outer})

    assert emulator.control.state()["requests"]["submit"] == 1
    assert made(emulator) == []


@pytest.mark.parametrize(
    "outer", [SimpleNamespace(task_id="outer"), BaseOperator.partial(task_id="outer").expand(doc_md=["a"])]
)
def test_what_cannot_be_told_to_stop_may_be_around(emulator: EmulatorHandle, harness: TaskHarness, outer: Any) -> None:
    """A stand-in for a task, as in a test of the user's own, has no ``on_kill``, and stops nothing."""
    record = operator(wait_for_completion=False).execute({**harness.context, "task": outer})

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]


def test_what_was_under_way_at_a_kill_is_named(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer comes after the task was told to stop: the log says what goes on, its price, and who collects it."""
    emulator.control.inject("slow_response", on="submit", seconds=1)
    task = operator(wait_for_completion=False)
    threading.Timer(0.4, task.on_kill).start()

    record = harness.run(task)

    before, _, after = capsys.readouterr().out.partition("What is being submitted just now may be paid for")
    assert record["generation_id"] not in before
    assert f"{record['generation_id']} goes on at EvoLink, which can't cancel it, and stays paid for (30.7" in after


def test_every_sending_is_written_before_it_leaves(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Also those that were turned away: the ledger counts what the service has got."""
    emulator.control.inject("rate_limit", on="submit", times=3, retry_after=0)

    harness.run(operator(wait_for_completion=False))

    intents = [write["send_count"] for write in harness.store.writes if write["phase"] == "intent"]
    assert intents == [1, 2, 3, 4]
    assert emulator.control.state()["requests"]["submit"] == 4


def test_another_account_is_not_asked_to_pay_for_a_doubt(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key in the connection became another account's: the doubt stays where it is, with the facts."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", impatient(emulator, api_key="sk-of-another-account-4711"))

    with pytest.raises(EvoLinkFailException, match="API key is another one now"):
        harness.retry(operator())
    assert len(made(emulator)) == 1
    assert "sk-of-another-account" not in str(harness.store.held)


def impatient(emulator: EmulatorHandle, api_key: str | None = None) -> str:
    """A connection that waits a second for an answer, or has another key."""
    key = api_key or emulator.api_key
    extra = '{"submit_timeout": 1, "timeout": 1}'
    return f'{{"conn_type": "evolink", "host": "{emulator.url}", "password": "{key}", "extra": {extra}}}'


def earlier_by(harness: TaskHarness, seconds: float) -> None:
    """Let time pass for what the ledger holds."""
    record = harness.record
    moved = {
        name: record[name] - seconds for name in ("intent_at", "last_sent_at", "in_doubt_since") if record.get(name)
    }
    newest = max(harness.store.held, key=lambda entry: (len(entry), entry))
    harness.store.set(newest, {**record, **moved})
