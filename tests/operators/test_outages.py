# SPDX-License-Identifier: Apache-2.0
"""Outages during the paid request: of any length and kind, they end with one submission and one charge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_evolink.api.errors import (
    NotSentError,
    RateLimitedError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.result import left_running
from airflow_provider_evolink.submission.decision import REPLAY_SECONDS
from tests.operators.submissions import accepted, operator
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("each_ledger", "no_submission_pauses")

# Which of the two depends on whether the kill comes before or after the response.
NOT_ACCEPTED = (NotSentError, RateLimitedError)


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("server_error", {"status": 503}),
        ("server_error", {"status": 500}),
        ("html_response", {"status": 502}),
        ("connection_reset", {}),
        ("lost_response", {}),
    ],
)
def test_an_outage_over_many_tries_ends_with_one_charge(
    emulator: EmulatorHandle, harness: TaskHarness, fault: str, options: dict[str, Any]
) -> None:
    """Five tries meet nothing but failures; the sixth is accepted, with the idempotency key of the first."""
    emulator.control.inject(fault, on="submit", times=10, **options)
    with pytest.raises(SubmissionUnknownError) as caught:
        harness.run(operator())
    for _ in range(4):
        with pytest.raises(SubmissionUnknownError):
            harness.retry(operator())
    assert not caught.value.permanent

    record = harness.retry(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert record["status"] == "completed"


@pytest.mark.parametrize("policies", [{}, {"on_clear": "resubmit"}, {"on_changed_input": "resubmit"}])
def test_a_clear_recovers_from_an_outage(
    emulator: EmulatorHandle, harness: TaskHarness, policies: dict[str, Any]
) -> None:
    """If all retries are used up, a clear after the outage continues with the same submission."""
    emulator.control.inject("server_error", on="submit", times=6, status=503)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator(**policies))
    for _ in range(2):
        with pytest.raises(SubmissionUnknownError):
            harness.retry(operator(**policies))

    record = harness.clear(operator(**policies))

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_a_submission_in_progress_is_not_given_up(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submission that takes longer than the response timeout is sent again until EvoLink has accepted it."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", short_timeout(emulator))
    emulator.control.inject("slow_acceptance", on="submit", seconds=4)

    record = harness.run(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert (record["replay"], record["status"]) == ("confirmed", "completed")


def test_the_deadline_counts_from_the_send_that_was_accepted(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Tries that fail, an hour apart, leave the whole timeout to the generation."""
    emulator.control.inject("server_error", on="submit", times=4, status=503)
    for attempt in (harness.run, harness.retry):
        with pytest.raises(SubmissionUnknownError):
            attempt(operator(timeout=100))
        age(harness, 3600)

    record = harness.retry(operator(timeout=100))

    assert record["status"] == "completed"
    assert abs(harness.record["submitted_at"] - time.time()) < 60
    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_an_idempotency_key_that_may_be_forgotten_is_not_sent_again(
    emulator: EmulatorHandle, harness: TaskHarness
) -> None:
    """A submission in doubt since yesterday is left to a person, and the documented way out works."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())
    age(harness, REPLAY_SECONDS)

    for attempt in (harness.retry, harness.clear):
        with pytest.raises(EvoLinkFailException, match=r'accepted and charged.*on_clear="resubmit"') as caught:
            attempt(operator())
        assert isinstance(caught.value.error, SubmissionAbandonedError)
        assert harness.record["idempotency_key"] in str(caught.value)
    assert len(accepted(emulator)) == 1

    record = harness.clear(operator(on_clear="resubmit"))
    assert record["status"] == "completed"
    assert len(accepted(emulator)) == 2


def test_a_clear_that_replayed_is_used_up(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Once EvoLink may have forgotten the idempotency key, a retry after that clear needs another clear to pay anew."""
    emulator.control.inject("server_error", on="submit", times=4, status=503)
    for attempt in (harness.run, harness.clear):
        with pytest.raises(SubmissionUnknownError):
            attempt(operator(on_clear="resubmit"))
    harness.store.set("evolink.2", {**harness.record, "in_doubt_since": time.time() - REPLAY_SECONDS})

    with pytest.raises(EvoLinkFailException) as caught:
        harness.retry(operator(on_clear="resubmit"))
    assert isinstance(caught.value.error, SubmissionAbandonedError)
    assert accepted(emulator) == []
    assert harness.clear(operator(on_clear="resubmit"))["status"] == "completed"


def test_fail_has_a_way_out_by_clear(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With ``on_unknown_submission="fail"`` a person who has checked clears with ``resubmit`` to submit anew."""
    policy = {"on_unknown_submission": "fail"}
    emulator.control.inject("server_error", on="submit", status=503)
    for attempt in (harness.run, harness.clear):
        with pytest.raises(EvoLinkFailException, match='on_clear="resubmit"') as caught:
            attempt(operator(**policy))
        assert isinstance(caught.value.error, SubmissionAbandonedError)
    assert emulator.control.state()["requests"]["submit"] == 1

    record = harness.clear(operator(**policy, on_clear="resubmit"))

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def kill_after_the_request(emulator: EmulatorHandle, kill: Callable[[], None]) -> None:
    """Kill from another thread as soon as EvoLink has got a submission."""

    def wait() -> None:
        while not emulator.control.state()["requests"]["submit"]:
            time.sleep(0.02)
        kill()

    threading.Thread(target=wait, daemon=True).start()


def test_no_submission_after_a_kill(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that is killed while it pauses after a 429 sends nothing more."""
    emulator.control.inject("rate_limit", on="submit", retry_after=1.5)
    task = operator()
    kill_after_the_request(emulator, task.on_kill)

    with pytest.raises(NOT_ACCEPTED, match="othing was charged"):
        harness.run(task)

    assert emulator.control.state()["requests"]["submit"] == 1
    assert (accepted(emulator), harness.record["phase"]) == ([], "withdrawn")


def test_no_submission_inside_a_task_after_a_kill(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Airflow kills the outer task only, which passes it on to the current call and to those after it."""
    emulator.control.inject("rate_limit", on="submit", retry_after=1.5)
    outer = BaseOperator(task_id="outer")

    def kill() -> None:
        outer.on_kill()

    kill_after_the_request(emulator, kill)

    for _ in range(2):
        with pytest.raises(NOT_ACCEPTED, match="othing was charged"):
            operator().execute({**harness.context, "task": outer})

    assert emulator.control.state()["requests"]["submit"] == 1
    assert accepted(emulator) == []


@pytest.mark.parametrize(
    "outer", [SimpleNamespace(task_id="outer"), BaseOperator.partial(task_id="outer").expand(doc_md=["a"])]
)
def test_the_outer_task_may_lack_on_kill(emulator: EmulatorHandle, harness: TaskHarness, outer: Any) -> None:
    """A stand-in for the outer task, as in a user's test, needs no ``on_kill``."""
    record = operator(wait_for_completion=False).execute({**harness.context, "task": outer})

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_a_submission_in_flight_at_a_kill_is_reported(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the response arrives after the kill, the log says what keeps running, its price, and how to collect it."""
    emulator.control.inject("slow_response", on="submit", seconds=1)
    task = operator(wait_for_completion=False)
    threading.Timer(0.4, task.on_kill).start()

    record = harness.run(task)

    warnings = [line for line in capsys.readouterr().out.splitlines() if "Killed" in line]
    assert len(warnings) == 2
    assert record["generation_id"] not in warnings[0]
    assert left_running(record["generation_id"], "evolink_default", cost=30.7) in warnings[1]


def test_every_send_is_written_before_it_leaves(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The ledger counts every request that reaches EvoLink, including those that end with 429."""
    emulator.control.inject("rate_limit", on="submit", times=3, retry_after=0)

    harness.run(operator(wait_for_completion=False))

    intents = [write["send_count"] for write in harness.store.writes if write["phase"] == "intent"]
    assert intents == [1, 2, 3, 4]
    assert emulator.control.state()["requests"]["submit"] == 4


def test_another_account_does_not_pay_for_a_replay(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the connection's API key may now be another account's, nothing is sent again."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator())
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", short_timeout(emulator, api_key="sk-of-another-account-4711"))

    with pytest.raises(EvoLinkFailException, match="API key") as caught:
        harness.retry(operator())
    assert isinstance(caught.value.error, SubmissionAbandonedError)
    assert len(accepted(emulator)) == 1
    assert "sk-of-another-account" not in str(harness.store.held)


def short_timeout(emulator: EmulatorHandle, api_key: str | None = None) -> str:
    """Return a connection with a response timeout of a second, and possibly another API key."""
    key = api_key or emulator.api_key
    extra = '{"submit_timeout": 1, "timeout": 1}'
    return f'{{"conn_type": "evolink", "host": "{emulator.url}", "password": "{key}", "extra": {extra}}}'


def age(harness: TaskHarness, seconds: float) -> None:
    """Move the times in the ledger into the past."""
    record = harness.record
    moved = {
        name: record[name] - seconds for name in ("intent_at", "last_sent_at", "in_doubt_since") if record.get(name)
    }
    newest = max(harness.store.held, key=lambda entry: (len(entry), entry))
    harness.store.set(newest, {**record, **moved})
