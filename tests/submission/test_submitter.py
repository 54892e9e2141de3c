"""The paid request, step by step: what is written when, and what is left behind when a step fails."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from airflow_provider_evolink.api import errors
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
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerError, LedgerRecord, Phase
from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter
from tests import hostile
from tests.task_harness import FailingStore, Store

REQUEST = GenerationRequest("some-model", "/v1/videos/generations", b"{}")
MADE = Generation(id="task-unified-1", status="pending", created=100.0, usage=Usage(credits_reserved=30.7))
ACCEPTED = Submission(MADE, replayed=False)
RECOGNISED = Submission(MADE, replayed=True)
LOST = errors.ConnectionLostError("EvoLink's answer to the submission was lost (ReadError).")
NOT_SENT = errors.NotSentError("EvoLink could not be reached. The request never left, so nothing was charged.")
TURNED_DOWN = errors.InsufficientCreditsError("402", status=402)
PAGE = errors.InvalidResponseError("403 from a firewall")
SLOWER = errors.RateLimitedError("429", status=429)
BUSY = errors.ServerError("503", status=503, retry_after=7.0)
WORKED_ON = errors.ServerError("409", status=409, code="paid_outcome_unknown")


class Desk:
    """A submitter whose sendings end as planned, and everything it does, in order."""

    def __init__(self, *outcomes: Submission | Exception, store: Store | None = None, policy: str = "replay") -> None:
        self.outcomes = list(outcomes)
        self.store = store or Store()
        self.done: list[Any] = []
        self.killed_after = 99
        self.said: Generation | Exception = MADE
        self.submitter = Submitter(
            ledger=Ledger(self.store, None),
            send=self._send,
            read=self._ask,
            policy=Policy(on_unknown_submission=policy),
            log=logging.getLogger("submission"),
            on_submitted=lambda record: self.done.append(("announced", record.generation_id)),
            is_killed=lambda: len(self.keys) >= self.killed_after,
            sleep=lambda seconds: self.done.append(("slept", seconds)),
        )

    @property
    def keys(self) -> list[str]:
        """The keys of all sendings."""
        return [entry[1] for entry in self.done if entry[0] == "sent"]

    @property
    def slept(self) -> float:
        """Seconds of all pauses."""
        return sum(entry[1] for entry in self.done if entry[0] == "slept")

    @property
    def phase(self) -> str:
        """What the ledger holds."""
        return str(self.store.get(STORE_KEY)["phase"])

    def _send(self, request: GenerationRequest, key: str) -> Submission:
        assert self.phase == "intent"
        self.done.append(("sent", key))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _ask(self, generation_id: str) -> Generation:
        self.done.append(("asked", generation_id))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def killed(self, seconds: float) -> None:
        """Be told to stop while sleeping."""
        self.done.append(("slept", seconds))
        self.killed_after = 0

    def settle(self) -> LedgerRecord:
        """Run a try."""
        return self.bring().record

    def bring(self, *, max_tries: int = 0, api_key: str = "sk-test") -> SubmissionResult:
        """Run a try, and return what EvoLink said of the generation too."""
        known = self.submitter.ledger.read()
        return self.submitter.submit_or_resume(known, REQUEST, "fp", try_number=1, max_tries=max_tries, api_key=api_key)


def test_the_id_is_written_before_it_is_announced() -> None:
    """Intent, one sending, the id: in this order, and durable before anybody hears of it."""
    desk = Desk(ACCEPTED)

    record = desk.settle()

    assert (record.generation_id, record.credits_reserved, record.replay) == ("task-unified-1", 30.7, None)
    assert [one["phase"] for one in desk.store.writes] == ["intent", "submitted"]
    assert [entry[0] for entry in desk.done] == ["sent", "announced"]
    assert desk.settle() == record
    assert len(desk.keys) == 1


@pytest.mark.parametrize(
    ("outcomes", "kind", "phase", "sendings"),
    [
        ([NOT_SENT] * 4, errors.NotSentError, "withdrawn", 4),
        ([SLOWER] * 4, errors.RateLimitedError, "withdrawn", 4),
        ([TURNED_DOWN], errors.InsufficientCreditsError, "withdrawn", 1),
        ([PAGE] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([LOST] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([BUSY] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([LOST, TURNED_DOWN], errors.SubmissionAbandonedError, "intent", 2),
        ([LOST, *[SLOWER] * 4], errors.SubmissionUnknownError, "intent", 5),
        ([LOST, *[NOT_SENT] * 4], errors.SubmissionUnknownError, "intent", 5),
    ],
)
def test_what_a_failure_leaves_behind(
    outcomes: list[Exception], kind: type[Exception], phase: str, sendings: int
) -> None:
    """The intent is withdrawn only if no sending of it can have been accepted."""
    desk = Desk(*outcomes)

    with pytest.raises(kind) as caught:
        desk.settle()

    assert (desk.phase, len(desk.keys), len(set(desk.keys))) == (phase, sendings, 1)
    if issubclass(kind, errors.SubmissionUnknownError):
        assert "may have been accepted and charged" in str(caught.value)
        assert "nothing was charged" not in str(caught.value)


@pytest.mark.parametrize(("answer", "replay"), [(RECOGNISED, "confirmed"), (ACCEPTED, "unconfirmed")])
def test_a_lost_answer_is_asked_for_again(answer: Submission, replay: str) -> None:
    """The same key is sent again, after the pause that the server wants, and what it said of it is kept."""
    desk = Desk(BUSY, answer)

    assert desk.settle().replay == replay
    assert len(set(desk.keys)) == 1
    assert desk.slept == pytest.approx(7.0)


def test_an_outage_ends_with_one_submission() -> None:
    """However many tries an outage takes, the same key is sent until EvoLink is back, each time after a write."""
    store = Store()
    keys: set[str] = set()
    for lost in (BUSY, LOST, PAGE) * 5:
        desk = Desk(lost, lost, store=store)
        with pytest.raises(errors.SubmissionUnknownError) as caught:
            desk.settle()
        assert not caught.value.permanent
        keys |= set(desk.keys)

    last = Desk(ACCEPTED, store=store)
    assert last.settle().generation_id == "task-unified-1"
    assert keys == set(last.keys)
    sent = [write["send_count"] for write in store.writes if write["phase"] == "intent"]
    assert sent == [*range(1, 32)]


def test_what_evolink_still_works_on_is_waited_for() -> None:
    """That the first sending has not come to its end uses up nothing: the key is sent until it has."""
    desk = Desk(LOST, *[WORKED_ON] * 10, RECOGNISED)

    record = desk.settle()

    assert (record.replay, record.send_count, len(set(desk.keys))) == ("confirmed", 12, 1)
    assert 10 < desk.slept < 120


def test_a_submission_that_was_turned_away_is_not_in_doubt() -> None:
    """After 429s alone the acceptance is the first: nothing is said of a replay."""
    record = Desk(SLOWER, SLOWER, ACCEPTED).settle()

    assert (record.replay, record.send_count, record.in_doubt_since) == (None, 3, None)


def test_what_a_lost_answer_leaves_in_doubt_stays_so() -> None:
    """A later refusal of the same key does not say that the earlier sending came to nothing."""
    desk = Desk(LOST, TURNED_DOWN)

    with pytest.raises(errors.SubmissionAbandonedError):
        desk.settle()

    record = desk.submitter.ledger.read()
    assert record is not None
    assert record.in_doubt_since is not None
    assert Desk(RECOGNISED, store=desk.store).settle().replay == "confirmed"


def test_another_key_of_the_connection_is_not_replayed_with() -> None:
    """The account may be another one: the request would be paid for there as well."""
    desk = Desk(LOST, LOST)
    with pytest.raises(errors.SubmissionUnknownError):
        desk.bring(api_key="sk-of-one-account")

    other = Desk(ACCEPTED, store=desk.store)
    with pytest.raises(errors.SubmissionAbandonedError, match="API key is another one now"):
        other.bring(api_key="sk-of-another")
    assert other.keys == []
    assert "sk-of" not in str(desk.store.held)

    same = Desk(RECOGNISED, store=desk.store)
    assert same.bring(api_key="sk-of-one-account").record.replay == "confirmed"


def test_a_try_whose_place_was_taken_sends_nothing_more() -> None:
    """A try that wakes up after another has taken its place can't write, and so can't send."""
    desk = Desk(LOST, ACCEPTED, store=FailingStore(2))

    with pytest.raises(LedgerError):
        desk.settle()
    assert len(desk.keys) == 1


def test_a_later_try_replays() -> None:
    """What one try has left unknown the next one sends again, under the same key."""
    store = Store()
    first, second = Desk(LOST, LOST, store=store), Desk(RECOGNISED, store=store)
    with pytest.raises(errors.SubmissionUnknownError):
        first.settle()

    assert second.settle().replay == "confirmed"
    assert set(first.keys) == set(second.keys)


def test_fail_sends_once() -> None:
    """With the policy ``fail`` an unknown outcome ends it, for good."""
    desk = Desk(LOST, policy="fail")

    with pytest.raises(errors.SubmissionAbandonedError) as caught:
        desk.settle()
    assert caught.value.permanent
    assert (desk.phase, len(desk.keys)) == ("intent", 1)


@pytest.mark.parametrize("sendings", [0, 1])
def test_a_kill_stops_the_sending(sendings: int) -> None:
    """Before the first sending nothing is charged; after a lost one that is not known, and not claimed."""
    desk = Desk(LOST, ACCEPTED)
    desk.killed_after = sendings

    with pytest.raises(errors.EvoLinkError) as caught:
        desk.settle()

    assert len(desk.keys) == sendings
    assert desk.phase == ("intent" if sendings else "withdrawn")
    assert ("nothing was charged" in str(caught.value)) == (sendings == 0)


def test_a_kill_during_the_pause() -> None:
    """A kill that comes while a lost answer is waited out does not claim that nothing was charged either."""
    desk = Desk(LOST, ACCEPTED)
    desk.submitter.sleep = desk.killed

    with pytest.raises(errors.SubmissionUnknownError, match=r"the task was stopped.* may have been accepted"):
        desk.settle()
    assert (desk.phase, len(desk.keys)) == ("intent", 1)


def test_a_kill_while_waiting_for_a_turn() -> None:
    """A kill that comes while a 429 is waited out is noticed at once: nothing is sent, and nothing is in doubt."""
    desk = Desk(errors.RateLimitedError("429", status=429, retry_after=60.0), ACCEPTED)
    desk.submitter.sleep = desk.killed

    with pytest.raises(errors.NotSentError, match="nothing was charged"):
        desk.settle()
    assert (desk.phase, len(desk.keys)) == ("withdrawn", 1)
    assert desk.slept <= 0.2


def test_no_intent_no_sending() -> None:
    """If the intent can't be written, nothing is sent: another try may have taken this one's place."""
    desk = Desk(ACCEPTED, store=FailingStore(1))

    with pytest.raises(LedgerError):
        desk.settle()
    assert desk.done == []


@pytest.mark.parametrize("failing", [(2,), (2, 3), (2, 3, 4)])
def test_the_id_survives_a_ledger_that_fails(failing: tuple[int, ...], caplog: pytest.LogCaptureFixture) -> None:
    """A paid id is written again and again, logged each time, and gone on with even if the ledger stays dead."""
    desk = Desk(ACCEPTED, store=FailingStore(*failing))

    record = desk.settle()

    assert record.generation_id == "task-unified-1"
    assert desk.done[-1] == ("announced", "task-unified-1")
    assert desk.phase == ("submitted" if len(failing) < 3 else "intent")
    errors_logged = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(errors_logged) == len(failing)
    assert all("task-unified-1 is paid for" in line for line in errors_logged)


def test_a_withdrawal_that_fails_hides_nothing() -> None:
    """If the intent can't be withdrawn, the reason of the refusal is what is raised; a retry replays, at worst."""
    desk = Desk(TURNED_DOWN, store=FailingStore(2))

    with pytest.raises(errors.InsufficientCreditsError):
        desk.settle()
    assert desk.phase == Phase.INTENT


NOT_THERE = errors.GenerationNotFoundError("404", status=404)


def submitted(seconds_ago: float) -> Store:
    """A store whose record was submitted so long ago."""
    store = Store()
    Desk(ACCEPTED, store=store).settle()
    record = LedgerRecord.from_json(store.get(STORE_KEY))
    Ledger(store, None).write(replace(record, submitted_at=time.time() - seconds_ago))
    return store


def test_a_later_try_asks_what_has_become_of_it() -> None:
    """One free read of what an earlier try has left: it is gone on with, and what EvoLink said is handed on."""
    desk = Desk(store=submitted(5))

    brought = desk.bring()

    assert (brought.record.phase, brought.generation) == ("submitted", MADE)
    assert desk.done == [("asked", "task-unified-1"), ("announced", "task-unified-1")]


def test_a_failure_that_is_found_is_noted_and_made_anew() -> None:
    """A generation that has failed meanwhile is noted as failed before anything is sent under another key."""
    desk = Desk(ACCEPTED, store=submitted(5))
    desk.said = replace(MADE, status="failed", error_code="service_error")

    record = desk.settle()

    assert [one["phase"] for one in desk.store.writes[-3:]] == ["failed", "intent", "submitted"]
    assert (record.submission_number, record.previous_ids) == (2, ("task-unified-1",))


def test_a_failure_for_good_is_noted_and_told() -> None:
    """What a new submission can't mend is noted and ends the try; nothing is sent."""
    desk = Desk(store=submitted(5))
    desk.said = replace(MADE, status="failed", error_code="content_policy_violation")

    with pytest.raises(errors.PermanentGenerationFailedError, match="content_policy_violation"):
        desk.settle()
    assert (desk.phase, desk.keys) == ("failed", [])


@pytest.mark.parametrize(
    ("said", "seconds_ago", "cleared", "ending"),
    [
        (NOT_THERE, 5, False, "submitted"),
        (NOT_THERE, 3600, False, "submitted"),
        (NOT_THERE, 3600, True, "submitted"),
        (errors.ConnectionLostError("reset"), 3600, False, "submitted"),
        (errors.AuthenticationError("401", status=401), 3600, False, "submitted"),
    ],
)
def test_an_answer_that_says_little(said: Exception, seconds_ago: float, cleared: bool, ending: Any) -> None:
    """No single answer makes a paid generation be given up: it is waited for."""
    desk = Desk(store=submitted(seconds_ago))
    desk.said = said

    if isinstance(ending, str):
        assert desk.bring(max_tries=int(cleared)).record.phase == ending
    else:
        with pytest.raises(ending):
            desk.bring(max_tries=int(cleared))
    assert desk.keys == []


def test_two_answers_minutes_apart_make_it_gone() -> None:
    """That EvoLink does not know a generation is believed at the second look, two minutes after the first."""
    store = submitted(3600)
    desk = Desk(store=store)
    desk.said = NOT_THERE

    first = desk.settle()
    assert desk.settle().phase == Phase.SUBMITTED
    Ledger(store, None).write(replace(first, missing_since=(first.missing_since or 0) - CONFIRMATION_SECONDS))

    with pytest.raises(errors.GenerationLostError):
        desk.settle()


def test_a_generation_may_be_unknown_at_first() -> None:
    """Just after it was accepted, a 404 says nothing: it is not even noted."""
    desk = Desk(store=submitted(30))
    desk.said = NOT_THERE

    assert desk.settle().missing_since is None


def test_what_turns_up_again_was_never_gone() -> None:
    """A generation that EvoLink knows after all starts with a clean slate."""
    store = submitted(3600)
    desk = Desk(store=store)
    desk.said = NOT_THERE
    desk.settle()

    desk.said = MADE
    assert desk.settle().missing_since is None
    assert store.get(STORE_KEY).get("missing_since") is None


@settings(max_examples=200)
@given(hostile.gone_wrong(hostile.CREATED))
def test_whatever_accepts_a_submission_its_record_can_be_read_again(answer: Any) -> None:
    """An id that is paid for is written in a form that every later try reads, whatever came along with it."""
    try:
        made = parse_generation(answer, default_status="pending")
    except errors.InvalidResponseError:
        return
    desk = Desk(Submission(made, replayed=False))

    record = desk.settle()

    assert record.generation_id == made.id
    assert desk.submitter.ledger.read() == record
    for ended in (
        replace(record, phase=Phase.FAILED, error_code=made.error_code, error=made.error_message, max_tries=2),
        replace(
            record, phase=Phase.FINISHED, result=build_record(made, Origin(record.intent_at), now=2e9), max_tries=0
        ),
    ):
        desk.submitter.ledger.write(ended)
        assert desk.submitter.ledger.read() == ended
