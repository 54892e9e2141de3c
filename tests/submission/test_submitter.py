# SPDX-License-Identifier: Apache-2.0
"""The paid request, step by step: what is written when, and what a failed step leaves behind."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.api.generation import (
    CONFIRMATION_SECONDS,
    Generation,
    Submission,
    Usage,
    parse_generation,
)
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.result import Origin, build_record
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerRecord, Phase
from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter
from tests import hostile
from tests.task_harness import FailingStore, Store

REQUEST = GenerationRequest("some-model", "/v1/videos/generations", b"{}")
PENDING = Generation(id="task-unified-1", status="pending", created=100.0, usage=Usage(credits_reserved=30.7))
ACCEPTED = Submission(PENDING, replayed=False)
RECOGNIZED = Submission(PENDING, replayed=True)
LOST = errors.ConnectionLostError("EvoLink's response to the submission was lost (ReadError).")
NOT_SENT = errors.NotSentError("EvoLink could not be reached. The request never left, so nothing was charged.")
REJECTED = errors.InsufficientCreditsError("402. Nothing was charged.", status=402)
PAGE = errors.InvalidResponseError("403 from a firewall")
RATE_LIMITED = errors.RateLimitedError("429. Nothing was charged.", status=429)
BUSY = errors.ServerError("503", status=503, retry_after=7.0)
IN_PROGRESS = errors.ServerError("409", status=409, code="paid_outcome_unknown")


class Recorder:
    """A submitter whose sends end as planned, and everything it does, in order."""

    def __init__(self, *outcomes: Submission | Exception, store: Store | None = None, policy: str = "replay") -> None:
        self.outcomes = list(outcomes)
        self.store = store or Store()
        self.done: list[Any] = []
        self.killed_after = 99
        self.remote: Generation | Exception = PENDING
        self.submitter = Submitter(
            ledger=Ledger(self.store, None),
            send=self._send,
            read=self._read,
            policy=Policy(on_unknown_submission=policy),
            log=logging.getLogger("submission"),
            on_submitted=lambda record: self.done.append(("announced", record.generation_id)),
            is_killed=lambda: len(self.keys) >= self.killed_after,
            upload=lambda _: {},
            sleep=lambda seconds: self.done.append(("slept", seconds)),
        )

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of all sends."""
        return [entry[1] for entry in self.done if entry[0] == "sent"]

    @property
    def slept(self) -> float:
        """Total of all pauses, in seconds."""
        return sum(entry[1] for entry in self.done if entry[0] == "slept")

    @property
    def phase(self) -> str:
        """Phase of the record in the ledger."""
        return str(self.store.get(STORE_KEY)["phase"])

    def _send(self, request: GenerationRequest, key: str) -> Submission:
        assert self.phase == "intent"
        self.done.append(("sent", key))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _read(self, generation_id: str) -> Generation:
        self.done.append(("read", generation_id))
        if isinstance(self.remote, Exception):
            raise self.remote
        return self.remote

    def sleep_and_be_killed(self, seconds: float) -> None:
        """Be killed while sleeping."""
        self.done.append(("slept", seconds))
        self.killed_after = 0

    def submit(self) -> LedgerRecord:
        """Run a try, and return its record."""
        return self.attempt().record

    def attempt(self, *, max_tries: int = 0, api_key: str = "sk-test") -> SubmissionResult:
        """Run a try."""
        known = self.submitter.ledger.read()
        return self.submitter.submit_or_resume(known, REQUEST, "fp", try_number=1, max_tries=max_tries, api_key=api_key)


def test_the_id_is_written_before_it_is_announced() -> None:
    """Intent, one send, id: in this order, and each is durable before the next step."""
    recorder = Recorder(ACCEPTED)

    record = recorder.submit()

    assert (record.generation_id, record.credits_reserved, record.replay) == ("task-unified-1", 30.7, None)
    assert [write["phase"] for write in recorder.store.writes] == ["intent", "submitted"]
    assert [entry[0] for entry in recorder.done] == ["sent", "announced"]
    assert recorder.submit() == record
    assert len(recorder.keys) == 1


@pytest.mark.parametrize(
    ("outcomes", "error_class", "phase", "send_count"),
    [
        ([NOT_SENT] * 4, errors.NotSentError, "withdrawn", 4),
        ([RATE_LIMITED] * 4, errors.RateLimitedError, "withdrawn", 4),
        ([REJECTED], errors.InsufficientCreditsError, "withdrawn", 1),
        ([PAGE] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([LOST] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([BUSY] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([LOST, REJECTED], errors.SubmissionAbandonedError, "intent", 2),
        ([LOST, *[RATE_LIMITED] * 4], errors.SubmissionUnknownError, "intent", 5),
        ([LOST, *[NOT_SENT] * 4], errors.SubmissionUnknownError, "intent", 5),
    ],
)
def test_what_a_failure_leaves_behind(
    outcomes: list[Exception], error_class: type[Exception], phase: str, send_count: int
) -> None:
    """The intent is withdrawn only if no send of it can have been accepted."""
    recorder = Recorder(*outcomes)

    with pytest.raises(error_class) as caught:
        recorder.submit()

    assert (recorder.phase, len(recorder.keys), len(set(recorder.keys))) == (phase, send_count, 1)
    if issubclass(error_class, errors.SubmissionUnknownError):
        assert "may have been accepted and charged" in str(caught.value)
        assert "nothing was charged" not in str(caught.value).lower()


@pytest.mark.parametrize(("response", "replay"), [(RECOGNIZED, "confirmed"), (ACCEPTED, "unconfirmed")])
def test_after_a_lost_response_the_request_is_sent_again(response: Submission, replay: str) -> None:
    """A replay has the same idempotency key, obeys ``Retry-After``, and records whether EvoLink recognized the key."""
    recorder = Recorder(BUSY, response)

    assert recorder.submit().replay == replay
    assert len(set(recorder.keys)) == 1
    assert recorder.slept == pytest.approx(7.0)


def test_an_outage_ends_with_one_submission() -> None:
    """However many tries an outage takes, the same idempotency key is sent until it ends, each time after a write."""
    store = Store()
    keys: set[str] = set()
    for lost in (BUSY, LOST, PAGE) * 5:
        recorder = Recorder(lost, lost, store=store)
        with pytest.raises(errors.SubmissionUnknownError) as caught:
            recorder.submit()
        assert not caught.value.permanent
        keys |= set(recorder.keys)

    last = Recorder(ACCEPTED, store=store)
    assert last.submit().generation_id == "task-unified-1"
    assert keys == set(last.keys)
    sent = [write["send_count"] for write in store.writes if write["phase"] == "intent"]
    assert sent == [*range(1, 32)]


def test_a_submission_in_progress_is_waited_for() -> None:
    """While EvoLink processes the first send, the idempotency key is sent again until it has finished."""
    recorder = Recorder(LOST, *[IN_PROGRESS] * 10, RECOGNIZED)

    record = recorder.submit()

    assert (record.replay, record.send_count, len(set(recorder.keys))) == ("confirmed", 12, 1)
    assert 10 < recorder.slept < 120


def test_a_rate_limited_submission_is_not_in_doubt() -> None:
    """After nothing but 429s the acceptance is the first, and no replay."""
    record = Recorder(RATE_LIMITED, RATE_LIMITED, ACCEPTED).submit()

    assert (record.replay, record.send_count, record.in_doubt_since) == (None, 3, None)


def test_a_lost_response_stays_in_doubt() -> None:
    """A later rejection of the same idempotency key does not mean that the earlier send was not accepted."""
    recorder = Recorder(LOST, REJECTED)

    with pytest.raises(errors.SubmissionAbandonedError):
        recorder.submit()

    record = recorder.submitter.ledger.read()
    assert record is not None
    assert record.in_doubt_since is not None
    assert Recorder(RECOGNIZED, store=recorder.store).submit().replay == "confirmed"


def test_nothing_is_replayed_with_another_api_key() -> None:
    """Another API key may belong to another account, which would pay for the request as well."""
    recorder = Recorder(LOST, LOST)
    with pytest.raises(errors.SubmissionUnknownError):
        recorder.attempt(api_key="sk-of-one-account")

    other = Recorder(ACCEPTED, store=recorder.store)
    with pytest.raises(errors.SubmissionAbandonedError, match="API key"):
        other.attempt(api_key="sk-of-another")
    assert other.keys == []
    assert "sk-of" not in str(recorder.store.held)

    same = Recorder(RECOGNIZED, store=recorder.store)
    assert same.attempt(api_key="sk-of-one-account").record.replay == "confirmed"


def test_a_superseded_try_sends_nothing_more() -> None:
    """A try that wakes up after another has superseded it can't write, and so can't send."""
    recorder = Recorder(LOST, ACCEPTED, store=FailingStore(2))

    with pytest.raises(LedgerError):
        recorder.submit()
    assert len(recorder.keys) == 1


def test_a_later_try_replays() -> None:
    """What one try left in doubt, the next one sends again, with the same idempotency key."""
    store = Store()
    first, second = Recorder(LOST, LOST, store=store), Recorder(RECOGNIZED, store=store)
    with pytest.raises(errors.SubmissionUnknownError):
        first.submit()

    assert second.submit().replay == "confirmed"
    assert set(first.keys) == set(second.keys)


def test_fail_sends_once() -> None:
    """With the policy ``fail``, an unknown outcome ends the task permanently."""
    recorder = Recorder(LOST, policy="fail")

    with pytest.raises(errors.SubmissionAbandonedError) as caught:
        recorder.submit()
    assert caught.value.permanent
    assert (recorder.phase, len(recorder.keys)) == ("intent", 1)


@pytest.mark.parametrize("send_count", [0, 1])
def test_a_kill_stops_sending(send_count: int) -> None:
    """Before the first send nothing is charged; after a lost response that is unknown, and not claimed."""
    recorder = Recorder(LOST, ACCEPTED)
    recorder.killed_after = send_count

    with pytest.raises(errors.EvoLinkError) as caught:
        recorder.submit()

    assert len(recorder.keys) == send_count
    assert recorder.phase == ("intent" if send_count else "withdrawn")
    assert ("nothing was charged" in str(caught.value).lower()) == (send_count == 0)


def test_a_kill_during_the_pause() -> None:
    """After a kill during the pause that follows a lost response, the error does not claim that nothing was charged."""
    recorder = Recorder(LOST, ACCEPTED)
    recorder.submitter.sleep = recorder.sleep_and_be_killed

    with pytest.raises(errors.SubmissionUnknownError, match="may have been accepted and charged"):
        recorder.submit()
    assert (recorder.phase, len(recorder.keys)) == ("intent", 1)


def test_a_kill_during_the_pause_after_a_429() -> None:
    """A kill during the pause is noticed at once: nothing is sent, and nothing is in doubt."""
    recorder = Recorder(errors.RateLimitedError("429", status=429, retry_after=60.0), ACCEPTED)
    recorder.submitter.sleep = recorder.sleep_and_be_killed

    with pytest.raises(errors.NotSentError, match="Nothing was charged"):
        recorder.submit()
    assert (recorder.phase, len(recorder.keys)) == ("withdrawn", 1)
    assert recorder.slept <= 0.2


def test_without_an_intent_nothing_is_sent() -> None:
    """If the intent can't be written, nothing is sent: another try may have superseded this one."""
    recorder = Recorder(ACCEPTED, store=FailingStore(1))

    with pytest.raises(LedgerError):
        recorder.submit()
    assert recorder.done == []


@pytest.mark.parametrize("failing", [(2,), (2, 3), (2, 3, 4)])
def test_the_id_survives_a_ledger_that_fails(failing: tuple[int, ...], caplog: pytest.LogCaptureFixture) -> None:
    """Writing a paid id is tried three times, each failure is logged, and the task goes on without the ledger."""
    recorder = Recorder(ACCEPTED, store=FailingStore(*failing))

    submitted = recorder.submit()

    assert submitted.generation_id == "task-unified-1"
    assert recorder.done[-1] == ("announced", "task-unified-1")
    assert recorder.phase == ("submitted" if len(failing) < 3 else "intent")
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == len(failing)
    assert all("task-unified-1" in line and "paid" in line for line in lines)


def test_a_withdrawal_that_fails_hides_nothing() -> None:
    """If the intent can't be withdrawn, the rejection is raised nevertheless; at worst, a retry replays."""
    recorder = Recorder(REJECTED, store=FailingStore(2))

    with pytest.raises(errors.InsufficientCreditsError):
        recorder.submit()
    assert recorder.phase == Phase.INTENT


NOT_THERE = errors.GenerationNotFoundError("404", status=404)


def submitted(seconds_ago: float) -> Store:
    """Return a store whose record was submitted some time ago."""
    store = Store()
    Recorder(ACCEPTED, store=store).submit()
    record = LedgerRecord.from_json(store.get(STORE_KEY))
    Ledger(store, None).write(replace(record, submitted_at=time.time() - seconds_ago))
    return store


def test_a_later_try_reads_what_became_of_the_generation() -> None:
    """One free read of what an earlier try submitted: it is resumed, and EvoLink's report is passed on."""
    recorder = Recorder(store=submitted(5))

    result = recorder.attempt()

    assert (result.record.phase, result.generation) == ("submitted", PENDING)
    assert recorder.done == [("read", "task-unified-1"), ("announced", "task-unified-1")]


def test_a_failure_is_recorded_and_submitted_again() -> None:
    """A generation that has failed meanwhile is recorded as failed before another idempotency key is sent."""
    recorder = Recorder(ACCEPTED, store=submitted(5))
    recorder.remote = replace(PENDING, status="failed", error_code="service_error")

    record = recorder.submit()

    assert [write["phase"] for write in recorder.store.writes[-3:]] == ["failed", "intent", "submitted"]
    assert (record.submission_number, record.previous_ids) == (2, ("task-unified-1",))


def test_a_permanent_failure_is_recorded_and_raised() -> None:
    """A failure that a new submission can't fix is recorded and ends the try; nothing is sent."""
    recorder = Recorder(store=submitted(5))
    recorder.remote = replace(PENDING, status="failed", error_code="content_policy_violation")

    with pytest.raises(errors.PermanentGenerationFailedError, match="content_policy_violation"):
        recorder.submit()
    assert (recorder.phase, recorder.keys) == ("failed", [])


@pytest.mark.parametrize(
    ("remote", "seconds_ago", "cleared", "outcome"),
    [
        (NOT_THERE, 5, False, "submitted"),
        (NOT_THERE, 3600, False, "submitted"),
        (NOT_THERE, 3600, True, "submitted"),
        (errors.ConnectionLostError("reset"), 3600, False, "submitted"),
        (errors.AuthenticationError("401", status=401), 3600, False, "submitted"),
    ],
)
def test_a_single_404_is_not_believed(remote: Exception, seconds_ago: float, cleared: bool, outcome: Any) -> None:
    """No single error response makes the task give up a paid generation: it is waited for."""
    recorder = Recorder(store=submitted(seconds_ago))
    recorder.remote = remote

    if isinstance(outcome, str):
        assert recorder.attempt(max_tries=int(cleared)).record.phase == outcome
    else:
        with pytest.raises(outcome):
            recorder.attempt(max_tries=int(cleared))
    assert recorder.keys == []


def test_two_404s_minutes_apart_are_believed() -> None:
    """That EvoLink does not know a generation is believed at the second read, two minutes after the first."""
    store = submitted(3600)
    recorder = Recorder(store=store)
    recorder.remote = NOT_THERE

    first = recorder.submit()
    assert recorder.submit().phase == Phase.SUBMITTED
    Ledger(store, None).write(replace(first, missing_since=(first.missing_since or 0) - CONFIRMATION_SECONDS))

    with pytest.raises(errors.GenerationLostError):
        recorder.submit()


def test_a_generation_may_be_unknown_at_first() -> None:
    """Just after the acceptance a 404 means nothing, and is not even recorded."""
    recorder = Recorder(store=submitted(30))
    recorder.remote = NOT_THERE

    assert recorder.submit().missing_since is None


def test_a_generation_that_reappears_is_not_missing() -> None:
    """If EvoLink knows a generation after all, the earlier 404 is forgotten."""
    store = submitted(3600)
    recorder = Recorder(store=store)
    recorder.remote = NOT_THERE
    recorder.submit()

    recorder.remote = PENDING
    assert recorder.submit().missing_since is None
    assert store.get(STORE_KEY).get("missing_since") is None


@settings(max_examples=200)
@given(hostile.corrupted(hostile.CREATED))
def test_the_record_of_any_accepted_submission_can_be_read(response: Any) -> None:
    """A paid id is written in a form that every later try can read, whatever else the response contains."""
    try:
        generation = parse_generation(response, default_status="pending")
    except errors.InvalidResponseError:
        return
    recorder = Recorder(Submission(generation, replayed=False))

    record = recorder.submit()

    assert record.generation_id == generation.id
    assert recorder.submitter.ledger.read() == record
    for ended in (
        replace(
            record, phase=Phase.FAILED, error_code=generation.error_code, error=generation.error_message, max_tries=2
        ),
        replace(
            record,
            phase=Phase.FINISHED,
            result=build_record(generation, Origin(record.intent_at), now=2e9),
            max_tries=0,
        ),
    ):
        recorder.submitter.ledger.write(ended)
        assert recorder.submitter.ledger.read() == ended
