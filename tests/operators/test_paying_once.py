# SPDX-License-Identifier: Apache-2.0
"""One payment for one result, whatever goes wrong on the way."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    InsufficientCreditsError,
    LedgerError,
    NotSentError,
    RateLimitedError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.result import left_running
from airflow_provider_evolink.submission.record import STORE_KEY
from tests.operators.submissions import DyingStore, WorkerDied, accepted, operator
from tests.task_harness import Store, TaskHarness

pytestmark = pytest.mark.usefixtures("each_ledger", "no_submission_pauses")


class SilentStore(Store):
    """A store that can be written but not read."""

    def get(self, key: str, default: Any = None) -> Any:
        """Fail."""
        raise RuntimeError("the API server is down")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_that_dies_around_any_write_pays_once(
    emulator: EmulatorHandle, harness: TaskHarness, write: int, after: bool
) -> None:
    """Return whether at the intent, the id or the end: the next try returns the result, and one generation was made."""
    harness.store = DyingStore(write, after=after)
    with pytest.raises(WorkerDied):
        harness.run(operator())

    record = harness.retry(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert record["status"] == "completed"
    assert record["try_number"] == 2


def test_a_lost_response_is_resolved_by_the_idempotency_key(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the response to an accepted submission is lost, the same idempotency key leads to the same generation."""
    emulator.control.inject("lost_response", on="submit")

    record = harness.run(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert record["replay"] == "confirmed"
    assert emulator.control.state()["requests"]["submit"] == 2


@pytest.mark.parametrize(
    "fault", ["connection_reset", "server_error", "html_response", "malformed_json", "unexpected_json", "redirect"]
)
def test_a_replay_resolves_unusable_responses(emulator: EmulatorHandle, harness: TaskHarness, fault: str) -> None:
    """Whatever comes instead of a response, the request is sent again with its idempotency key and paid for once."""
    emulator.control.inject(fault, on="submit")

    record = harness.run(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert record["replay"] in {"confirmed", "unconfirmed"}


def test_an_unconfirmed_replay_is_logged_as_an_error(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """If EvoLink does not recognize the idempotency key, log, ledger and record report a possible second charge."""
    emulator.control.inject("lost_response", on="submit")
    emulator.control.inject("ignore_idempotency", on="submit", times=None)

    record = harness.run(operator())

    assert len(accepted(emulator)) == 2
    assert record["replay"] == "unconfirmed"
    assert harness.store.get(STORE_KEY)["replay"] == "unconfirmed"
    log = capsys.readouterr().out
    key = harness.store.get(STORE_KEY)["idempotency_key"]
    assert any("[error" in line and key in line and record["generation_id"] in line for line in log.splitlines())


@pytest.mark.parametrize("status", [400, 401, 402, 403, 429])
def test_a_rejection_does_not_hide_a_lost_response(emulator: EmulatorHandle, harness: TaskHarness, status: int) -> None:
    """A rejected replay reports the send in doubt first, and what EvoLink rejected without the claim of no charge."""
    emulator.control.inject("lost_response", on="submit")
    emulator.control.inject("http_error", on="submit", times=None, status=status, message="an odd reason")

    with pytest.raises((SubmissionUnknownError, EvoLinkFailException)) as caught:
        harness.run(operator())

    text, key = str(caught.value), harness.record["idempotency_key"]
    assert text.startswith("An earlier send may have been accepted and charged")
    assert text.index(key) < text.index(f"HTTP {status}") < text.index("an odd reason")
    assert "nothing was charged" not in text.lower()


def test_lost_responses_leave_the_intent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """After two lost responses the try fails with a transient error; the next one sends the same idempotency key."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError, match="may have been accepted") as caught:
        harness.run(operator())
    assert not caught.value.permanent
    assert harness.store.get(STORE_KEY)["phase"] == "intent"

    record = harness.retry(operator())

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert record["reattached"] is True


def test_fail_never_sends_again(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With ``on_unknown_submission="fail"`` a lost response ends the task, and no later try sends anything."""
    emulator.control.inject("lost_response", on="submit")
    for attempt in (harness.run, harness.retry):
        with pytest.raises(EvoLinkFailException) as caught:
            attempt(operator(on_unknown_submission="fail"))
        assert isinstance(caught.value.error, SubmissionAbandonedError)
        assert harness.record["idempotency_key"] in str(caught.value)

    assert emulator.control.state()["requests"]["submit"] == 1


def test_429_is_waited_out(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """After a 429 the submission is sent again within the try, after ``Retry-After``, and not as a replay."""
    emulator.control.inject("rate_limit", on="submit", times=2, retry_after=0.1)

    record = harness.run(operator())

    assert "replay" not in record
    assert len(accepted(emulator)) == 1


def test_429_without_end_withdraws_the_intent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the 429s do not end, the try fails with a transient error, nothing charged and nothing in doubt."""
    emulator.control.inject("rate_limit", on="submit", times=None, retry_after=0)
    with pytest.raises(RateLimitedError):
        harness.run(operator())

    assert harness.store.get(STORE_KEY)["phase"] == "withdrawn"
    assert accepted(emulator) == []


def test_a_known_rejection_withdraws_the_intent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """402 ends the task at once with EvoLink's code, and a later try starts fresh."""
    emulator.control.add_credits(-1000)
    with pytest.raises(EvoLinkFailException, match="insufficient_quota") as caught:
        harness.run(operator())
    assert isinstance(caught.value.error, InsufficientCreditsError)
    assert harness.store.get(STORE_KEY)["phase"] == "withdrawn"

    emulator.control.add_credits(1000)
    assert harness.clear(operator())["status"] == "completed"
    assert len(accepted(emulator)) == 1


def test_an_unreadable_ledger_sends_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """An unreadable entry is never taken for an empty ledger."""
    harness.store.set(STORE_KEY, {"phase": "?"})

    with pytest.raises(LedgerError, match="nothing was sent"):
        harness.run(operator())

    assert emulator.control.state()["requests"]["total"] == 0


def test_an_unreachable_ledger_sends_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A store that can't be read may hold what was paid for, although it would accept a new record."""
    harness.store = SilentStore()

    with pytest.raises(LedgerError, match="nothing was sent"):
        harness.run(operator())

    assert emulator.control.state()["requests"]["total"] == 0


def test_a_kill_before_the_submission_prevents_it(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task that is killed before it has sent anything sends nothing."""
    task = operator()
    task.on_kill()

    with pytest.raises(NotSentError, match="Nothing was charged"):
        harness.run(task)
    assert emulator.control.state()["requests"]["total"] == 0
    assert harness.store.get(STORE_KEY)["phase"] == "withdrawn"


def test_mapped_tasks_pay_separately(emulator: EmulatorHandle) -> None:
    """Two map indexes with the same request make two submissions."""
    for index in (0, 1):
        sibling = TaskHarness()
        sibling.ti.map_index = index
        sibling.run(operator(wait_for_completion=False))

    assert len({generation["idempotency_key"] for generation in accepted(emulator)}) == 2


def test_a_kill_after_the_submission_reports_what_keeps_running(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed task logs the generation that keeps running, what it costs, and how to collect it."""
    task = operator(wait_for_completion=False)
    generation_id = harness.run(task)["generation_id"]
    task.on_kill()

    log = capsys.readouterr().out
    assert left_running(generation_id, "evolink_default", cost=30.7) in log
    assert "stays paid for (30.7 credits reserved)" in log
    assert f'EvoLinkGenerationSensor(task_id="collect", generation_id="{generation_id}"' in log
