"""The paid request, step by step: what is written when, and what is left behind when a step fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import Generation, Submission, Usage, parse_generation
from airflow_provider_evolink.api.request import Request
from airflow_provider_evolink.decision import MAX_SENDINGS, Policy
from airflow_provider_evolink.ledger import KEY, Ledger, LedgerError, Phase, Record
from airflow_provider_evolink.result import Origin, record_of
from airflow_provider_evolink.submission import Brought, Submitter
from tests import hostile
from tests.stage import FailingStore, Store

REQUEST = Request("some-model", "/v1/videos/generations", b"{}")
MADE = Generation(id="task-unified-1", status="pending", created=100.0, usage=Usage(credits_reserved=30.7))
ACCEPTED = Submission(MADE, replayed=False)
RECOGNISED = Submission(MADE, replayed=True)
LOST = errors.ConnectionLostError("EvoLink's answer to the submission was lost (ReadError).")
NOT_SENT = errors.NotSentError("EvoLink could not be reached. The request never left, so nothing was charged.")
TURNED_DOWN = errors.InsufficientCreditsError("402", status=402)
PAGE = errors.MalformedAnswerError("403 from a firewall")
SLOWER = errors.RateLimitedError("429", status=429)
BUSY = errors.ServerError("503", status=503, retry_after=7.0)


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
            ask=self._ask,
            policy=Policy(on_unknown_submission=policy),
            log=logging.getLogger("submission"),
            announce=lambda record: self.done.append(("announced", record.generation_id)),
            is_killed=lambda: len(self.keys) >= self.killed_after,
            sleep=lambda seconds: self.done.append(("slept", seconds)),
        )

    @property
    def keys(self) -> list[str]:
        """The keys of all sendings."""
        return [entry[1] for entry in self.done if entry[0] == "sent"]

    @property
    def phase(self) -> str:
        """What the ledger holds."""
        return str(self.store.get(KEY)["phase"])

    def _send(self, request: Request, key: str) -> Submission:
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

    def settle(self) -> Record:
        """Run a try."""
        return self.bring().record

    def bring(self, *, max_tries: int = 0) -> Brought:
        """Run a try, and return what EvoLink said of the generation too."""
        known = self.submitter.ledger.read()
        return self.submitter.settle(known, REQUEST, "fp", try_number=1, max_tries=max_tries)


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
        ([NOT_SENT], errors.NotSentError, "withdrawn", 1),
        ([TURNED_DOWN], errors.InsufficientCreditsError, "withdrawn", 1),
        ([PAGE] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([LOST] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([BUSY] * 2, errors.SubmissionUnknownError, "intent", 2),
        ([LOST, TURNED_DOWN], errors.SubmissionAbandonedError, "intent", 2),
        ([LOST, SLOWER], errors.SubmissionUnknownError, "intent", 2),
        ([LOST, NOT_SENT], errors.SubmissionUnknownError, "intent", 2),
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
    assert [entry for entry in desk.done if entry[0] == "slept"] == [("slept", 7.0)]


def test_sendings_are_counted_over_all_tries() -> None:
    """Each sending has its write before it, and after six of them nothing is sent any more."""
    store = Store()
    keys: set[str] = set()
    for _ in range(MAX_SENDINGS // 2):
        desk = Desk(LOST, LOST, store=store)
        with pytest.raises(errors.SubmissionUnknownError):
            desk.settle()
        keys |= set(desk.keys)

    last = Desk(store=store)
    with pytest.raises(errors.SubmissionAbandonedError, match="was sent 6 times"):
        last.settle()
    assert len(keys) == 1
    assert [one["sendings"] for one in store.writes] == [1, 2, 3, 4, 5, 6]


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
    pause: Callable[[float], None] = lambda _: setattr(desk, "killed_after", 0)  # noqa: E731 - the shortest form
    desk.submitter.sleep = pause

    with pytest.raises(errors.SubmissionUnknownError, match=r"the task was stopped.* may have been accepted"):
        desk.settle()
    assert (desk.phase, len(desk.keys)) == ("intent", 1)


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
    record = Record.from_json(store.get(KEY))
    Ledger(store, None).write(replace(record, submitted_at=time.time() - seconds_ago))
    return store


def test_a_later_try_asks_what_has_become_of_it() -> None:
    """One free read of what an earlier try has left: it is gone on with, and what EvoLink said is handed on."""
    desk = Desk(store=submitted(5))

    brought = desk.bring()

    assert (brought.record.phase, brought.seen) == ("submitted", MADE)
    assert desk.done == [("asked", "task-unified-1"), ("announced", "task-unified-1")]


def test_a_failure_that_is_found_is_noted_and_made_anew() -> None:
    """A generation that has failed meanwhile is noted as failed before anything is sent under another key."""
    desk = Desk(ACCEPTED, store=submitted(5))
    desk.said = replace(MADE, status="failed", error_code="service_error")

    record = desk.settle()

    assert [one["phase"] for one in desk.store.writes[-3:]] == ["failed", "intent", "submitted"]
    assert (record.ordinal, record.earlier) == (2, ("task-unified-1",))


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
        (NOT_THERE, 3600, False, errors.GenerationLostError),
        (NOT_THERE, 3600, True, errors.GenerationLostError),
        (errors.ConnectionLostError("reset"), 3600, False, "submitted"),
        (errors.AuthenticationError("401", status=401), 3600, False, "submitted"),
    ],
)
def test_an_answer_that_says_little(said: Exception, seconds_ago: float, cleared: bool, ending: Any) -> None:
    """Only a generation that is unknown long after its submission is believed gone; else it is waited for."""
    desk = Desk(store=submitted(seconds_ago))
    desk.said = said

    if isinstance(ending, str):
        assert desk.bring(max_tries=int(cleared)).record.phase == ending
    else:
        with pytest.raises(ending):
            desk.bring(max_tries=int(cleared))
    assert desk.keys == []


@settings(max_examples=200)
@given(hostile.gone_wrong(hostile.CREATED))
def test_whatever_accepts_a_submission_its_record_can_be_read_again(answer: Any) -> None:
    """An id that is paid for is written in a form that every later try reads, whatever came along with it."""
    try:
        made = parse_generation(answer, default_status="pending")
    except errors.MalformedAnswerError:
        return
    desk = Desk(Submission(made, replayed=False))

    record = desk.settle()

    assert record.generation_id == made.id
    assert desk.submitter.ledger.read() == record
    for ended in (
        replace(record, phase=Phase.FAILED, error_code=made.error_code, error=made.error_message, max_tries=2),
        replace(record, phase=Phase.FINISHED, result=record_of(made, Origin(record.intent_at), now=2e9), max_tries=0),
    ):
        desk.submitter.ledger.write(ended)
        assert desk.submitter.ledger.read() == ended
