"""One payment for one result, whatever goes wrong on the way."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    RateLimitedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerError
from tests.operators.orders import DyingStore, WorkerDied, made, operator
from tests.task_harness import Store, TaskHarness

pytestmark = pytest.mark.usefixtures("no_pauses")


class SilentStore(Store):
    """A store that can be written to and not read."""

    def get(self, key: str, default: Any = None) -> Any:
        """Fail."""
        raise RuntimeError("the API server is down")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_that_dies_around_any_write(
    emulator: EmulatorHandle, harness: TaskHarness, write: int, after: bool
) -> None:
    """Around the intent, the id or the end: the next try brings the result, and one generation was made."""
    harness.store = DyingStore(write, after=after)
    with pytest.raises(WorkerDied):
        harness.run(operator())

    record = harness.retry(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["status"] == "completed"
    assert record["try_number"] == 2


def test_a_lost_answer_is_settled_by_the_key(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The accepted submission's answer is lost: the same key brings the same generation, and that is said."""
    emulator.control.inject("lost_reply", on="submit")

    record = harness.run(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["replay"] == "confirmed"
    assert emulator.control.state()["requests"]["submit"] == 2


@pytest.mark.parametrize(
    "fault", ["connection_reset", "server_error", "html_response", "malformed_json", "unexpected_json", "redirect"]
)
def test_answers_that_say_nothing_are_settled_too(emulator: EmulatorHandle, harness: TaskHarness, fault: str) -> None:
    """Whatever stands in an answer's place, the request is repeated under its key and paid for once."""
    emulator.control.inject(fault, on="submit")

    record = harness.run(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["replay"] in {"confirmed", "unconfirmed"}


def test_an_unconfirmed_replay_is_said_loudly(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the service does not recognise the key, log, ledger and record say that it may have been paid twice."""
    emulator.control.inject("lost_reply", on="submit")
    emulator.control.inject("ignore_idempotency", on="submit", times=None)

    record = harness.run(operator())

    assert len(made(emulator)) == 2
    assert record["replay"] == "unconfirmed"
    assert harness.store.get(STORE_KEY)["replay"] == "unconfirmed"
    assert "made, and charges, two generations" in capsys.readouterr().out


def test_a_service_that_stays_silent_leaves_the_intent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """After two lost answers the try fails, retryable; the next one goes on with the same key."""
    emulator.control.inject("lost_reply", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError, match="may have been accepted"):
        harness.run(operator())
    assert harness.store.get(STORE_KEY)["phase"] == "intent"

    record = harness.retry(operator())

    assert [one["id"] for one in made(emulator)] == [record["generation_id"]]
    assert record["reattached"] is True


def test_fail_never_sends_again(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """With ``on_unknown_submission="fail"`` a lost answer ends the task, and no later try sends anything."""
    emulator.control.inject("lost_reply", on="submit")
    with pytest.raises(EvoLinkFailException, match="airflow-"):
        harness.run(operator(on_unknown_submission="fail"))
    with pytest.raises(EvoLinkFailException, match="Nothing was sent now"):
        harness.retry(operator(on_unknown_submission="fail"))

    assert emulator.control.state()["requests"]["submit"] == 1


def test_429_is_waited_out(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A submission turned away with 429 is sent again when told, under the same key, within the try."""
    emulator.control.inject("rate_limit", on="submit", times=2, retry_after=0.1)

    record = harness.run(operator())

    assert "replay" not in record
    assert len(made(emulator)) == 1


def test_429_without_end_withdraws_the_intent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """When 429 does not end, the try fails retryable with nothing charged and nothing unknown."""
    emulator.control.inject("rate_limit", on="submit", times=None, retry_after=0)
    with pytest.raises(RateLimitedError):
        harness.run(operator())

    assert harness.store.get(STORE_KEY)["phase"] == "withdrawn"
    assert made(emulator) == []


def test_a_known_rejection_withdraws_the_intent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """402 ends the task at once, says that nothing was charged, and a later try starts afresh."""
    emulator.control.add_credits(-1000)
    with pytest.raises(EvoLinkFailException, match="insufficient_quota"):
        harness.run(operator())
    assert harness.store.get(STORE_KEY)["phase"] == "withdrawn"

    emulator.control.add_credits(1000)
    assert harness.clear(operator())["status"] == "completed"
    assert len(made(emulator)) == 1


def test_a_ledger_that_cannot_be_read_sends_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Something unreadable in the store is never taken for an empty ledger."""
    harness.store.set(STORE_KEY, {"phase": "?"})

    with pytest.raises(LedgerError, match="nothing was sent"):
        harness.run(operator())

    assert emulator.control.state()["requests"]["total"] == 0


def test_a_ledger_that_does_not_answer_sends_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A store that fails to answer may hold what was paid for, though it would take a new record."""
    harness.store = SilentStore()

    with pytest.raises(LedgerError, match="nothing was sent"):
        harness.run(operator())

    assert emulator.control.state()["requests"]["total"] == 0


def test_no_store_no_submission(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Without a state store nothing is sent: a crash would make the next try pay again."""
    context = {**harness.context, "task_state_store": None}

    with pytest.raises(EvoLinkFailException, match="no state store"):
        operator().execute(context)
    assert emulator.control.state()["requests"]["total"] == 0


def test_a_kill_before_the_submission_prevents_it(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task told to stop before it has sent anything sends nothing."""
    task = operator()
    task.on_kill()

    with pytest.raises(Exception, match="told to stop before the submission"):
        harness.run(task)
    assert emulator.control.state()["requests"]["total"] == 0
    assert harness.store.get(STORE_KEY)["phase"] == "withdrawn"


def test_mapped_siblings_pay_each_for_their_own(emulator: EmulatorHandle) -> None:
    """Two map indexes with the same request are two submissions."""
    for index in (0, 1):
        sibling = TaskHarness()
        sibling.ti.map_index = index
        sibling.run(operator(wait_for_completion=False))

    assert len({one["idempotency_key"] for one in made(emulator)}) == 2


def test_a_kill_after_the_submission_says_what_goes_on(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task told to stop while it waits names the generation that goes on, and how to collect it."""
    task = operator(wait_for_completion=False)
    identity = harness.run(task)["generation_id"]
    task.on_kill()

    said = capsys.readouterr().out
    assert f"Generation {identity} goes on" in said
    assert "stays paid for (30.7 credits reserved)" in said
    assert f'EvoLinkGenerationSensor(task_id="collect", generation_id="{identity}"' in said
