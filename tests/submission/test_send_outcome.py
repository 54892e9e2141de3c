"""What the end of a sending means for the money, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import Generation, Submission
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.send_outcome import (
    MAX_LOST_RESPONSES,
    MAX_REJECTIONS,
    MAX_SECONDS_IN_PROGRESS,
    PAUSE_SECONDS,
    AttemptBudget,
    LeaveOpen,
    SendAgain,
    Withdraw,
    about_to_send,
    accepted,
    after_failure,
)

REPLAY, FAIL = Policy(), Policy(on_unknown_submission="fail")
FRESH = LedgerRecord(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0)
DOUBTED = replace(FRESH, send_count=1, last_sent_at=101.0, in_doubt_since=101.0)
OFTEN = replace(DOUBTED, send_count=1000, last_sent_at=900.0)

LOST = errors.ConnectionLostError("lost")
PAGE = errors.InvalidResponseError("a page")
BUSY = errors.ServerError("503", status=503, retry_after=7.0)
WORKED_ON = errors.ServerError("409", status=409, code="paid_outcome_unknown")
NOT_SENT = errors.NotSentError("never left")
POOR = errors.InsufficientCreditsError("402", status=402)
SLOWER = errors.RateLimitedError("429", status=429, retry_after=3.0)
CONFLICT = errors.IdempotencyConflictError("409", status=409, code="idempotency_conflict")
UNKNOWN, ABANDONED = errors.SubmissionUnknownError, errors.SubmissionAbandonedError

NONE = AttemptBudget()
DOUBTS = AttemptBudget(lost_responses=MAX_LOST_RESPONSES - 1)
TURNED_AWAY = AttemptBudget(rejections=MAX_REJECTIONS - 1)
WAITED = AttemptBudget(seconds_in_progress=MAX_SECONDS_IN_PROGRESS)
ALL = AttemptBudget(MAX_LOST_RESPONSES - 1, MAX_REJECTIONS - 1, MAX_SECONDS_IN_PROGRESS)


@pytest.mark.parametrize(
    ("intent", "error", "policy", "spent", "killed", "ending"),
    [
        # Nothing of it can have been accepted: again within the try, then the intent goes.
        *((FRESH, POOR, policy, NONE, False, Withdraw()) for policy in (REPLAY, FAIL)),
        *((FRESH, CONFLICT, policy, NONE, False, Withdraw()) for policy in (REPLAY, FAIL)),
        *(
            (FRESH, SLOWER, policy, NONE, False, SendAgain(3.0, AttemptBudget(rejections=1)))
            for policy in (REPLAY, FAIL)
        ),
        (FRESH, NOT_SENT, REPLAY, NONE, False, SendAgain(PAUSE_SECONDS, AttemptBudget(rejections=1))),
        (
            FRESH,
            NOT_SENT,
            REPLAY,
            AttemptBudget(rejections=1),
            False,
            SendAgain(2 * PAUSE_SECONDS, AttemptBudget(rejections=2)),
        ),
        *((FRESH, error, REPLAY, TURNED_AWAY, False, Withdraw()) for error in (NOT_SENT, SLOWER)),
        *((FRESH, error, REPLAY, NONE, True, Withdraw()) for error in (NOT_SENT, SLOWER, POOR)),
        # It may have been, and the key tells.
        *(
            (FRESH, error, REPLAY, NONE, False, SendAgain(PAUSE_SECONDS, AttemptBudget(lost_responses=1)))
            for error in (LOST, PAGE)
        ),
        *(
            (OFTEN, error, REPLAY, NONE, False, SendAgain(PAUSE_SECONDS, AttemptBudget(lost_responses=1)))
            for error in (LOST, PAGE)
        ),
        (FRESH, BUSY, REPLAY, NONE, False, SendAgain(7.0, AttemptBudget(lost_responses=1))),
        (DOUBTED, SLOWER, REPLAY, DOUBTS, False, SendAgain(3.0, replace(DOUBTS, rejections=1))),
        # EvoLink has the key and is not done: asked more and more slowly, whatever else the try has used up.
        (DOUBTED, WORKED_ON, REPLAY, DOUBTS, False, SendAgain(1.0, replace(DOUBTS, seconds_in_progress=1.0))),
        (
            DOUBTED,
            WORKED_ON,
            REPLAY,
            AttemptBudget(seconds_in_progress=4.0),
            False,
            SendAgain(4.0, AttemptBudget(seconds_in_progress=8.0)),
        ),
        (
            DOUBTED,
            WORKED_ON,
            REPLAY,
            AttemptBudget(seconds_in_progress=60.0),
            False,
            SendAgain(15.0, AttemptBudget(seconds_in_progress=75.0)),
        ),
        (DOUBTED, WORKED_ON, REPLAY, WAITED, False, UNKNOWN),
        # It may have been, and this try can't tell.
        *((FRESH, error, REPLAY, NONE, True, UNKNOWN) for error in (LOST, PAGE, BUSY, WORKED_ON)),
        *((FRESH, error, FAIL, NONE, False, ABANDONED) for error in (LOST, PAGE, BUSY, WORKED_ON)),
        *((FRESH, error, REPLAY, ALL, False, UNKNOWN) for error in (LOST, PAGE, BUSY, WORKED_ON)),
        *((OFTEN, error, REPLAY, ALL, False, UNKNOWN) for error in (LOST, PAGE, BUSY, WORKED_ON, NOT_SENT, SLOWER)),
        *((DOUBTED, error, REPLAY, NONE, False, ABANDONED) for error in (POOR, CONFLICT)),
    ],
)
def test_each_cell(
    intent: LedgerRecord, error: errors.EvoLinkError, policy: Policy, spent: AttemptBudget, killed: bool, ending: Any
) -> None:
    """Every end of a sending has its one meaning, and only what was surely not accepted lets the intent go."""
    made = after_failure(intent, error, policy, used=spent, killed=killed)

    if isinstance(ending, type):
        assert isinstance(made, LeaveOpen)
        assert type(made.error) is ending
        assert "may have been accepted and charged (key airflow-key)" in str(made.error)
    else:
        assert made == ending


@pytest.mark.parametrize("error", [LOST, NOT_SENT, SLOWER, WORKED_ON])
def test_a_try_ends(error: errors.EvoLinkError) -> None:
    """Whatever comes back, a try stops sending, well before Airflow loses patience."""
    spent, sent, waited = AttemptBudget(), 0, 0.0
    while isinstance(made := after_failure(DOUBTED, error, REPLAY, used=spent, killed=False), SendAgain):
        spent, sent, waited = made.used, sent + 1, waited + made.pause

    assert 0 < sent < 20
    assert waited <= MAX_SECONDS_IN_PROGRESS


def test_what_is_worked_on_is_neither_asked_about_for_ever_nor_in_a_burst() -> None:
    """However little time EvoLink asks for, the patience of a try lasts, and comes to an end."""
    hasty = errors.ServerError("409", status=409, code="paid_outcome_unknown", retry_after=0.0)
    spent, pauses = NONE, list[float]()
    while isinstance(step := after_failure(DOUBTED, hasty, REPLAY, used=spent, killed=False), SendAgain):
        spent, pauses = step.used, [*pauses, step.pause]
        assert len(pauses) < 20
    assert isinstance(step, LeaveOpen)
    assert pauses == sorted(pauses)
    assert MAX_SECONDS_IN_PROGRESS - 15 < sum(pauses) <= MAX_SECONDS_IN_PROGRESS


def test_the_servers_wish_reaches_the_retry_policy() -> None:
    """What a 503 says about when to come back is in the error that the try ends with."""
    made = after_failure(DOUBTED, replace_retry(BUSY, 120.0), REPLAY, used=ALL, killed=False)

    assert isinstance(made, LeaveOpen)
    assert made.error.retry_after == 120.0


def replace_retry(error: errors.ServerError, seconds: float) -> errors.ServerError:
    """The same error with another wish."""
    return errors.ServerError(str(error), status=error.status, retry_after=seconds)


def test_a_sending_is_in_doubt_until_it_is_answered() -> None:
    """Should the worker die now, the record says since when the submission may have been accepted."""
    first = about_to_send(FRESH, now=150.0)
    second = about_to_send(first, now=160.0)

    assert (first.send_count, first.last_sent_at, first.in_doubt_since) == (1, 150.0, 150.0)
    assert (second.send_count, second.last_sent_at, second.in_doubt_since) == (2, 160.0, 150.0)


@pytest.mark.parametrize(
    ("intent", "replayed", "created", "replay", "submitted_at"),
    [
        # The first sending, or one after others that surely came to nothing, however long ago those were.
        (FRESH, False, None, None, 5000.0),
        (replace(FRESH, send_count=3, last_sent_at=4000.0), False, 17.0, None, 5000.0),
        # A replay that EvoLink does not confirm is a new generation, as far as anybody can tell.
        (DOUBTED, False, None, "unconfirmed", 5000.0),
        (DOUBTED, False, 101.0, "unconfirmed", 5000.0),
        # One that it confirms was accepted at an earlier sending: EvoLink's word for when, if it can be true.
        (DOUBTED, True, None, "confirmed", 101.0),
        (OFTEN, True, None, "confirmed", 900.0),
        (OFTEN, True, 500.0, "confirmed", 500.0),
        (OFTEN, True, 17.0, "confirmed", 101.0),
        (OFTEN, True, 9000.0, "confirmed", 5000.0),
    ],
)
def test_the_clock_starts_at_the_sending_that_was_accepted(
    intent: LedgerRecord, replayed: bool, created: float | None, replay: str | None, submitted_at: float
) -> None:
    """The deadline counts from there, and whether EvoLink knew the key is kept."""
    made = Generation(id="task-unified-1", status="pending", estimated_time=60.0, created=created)

    record = accepted(intent, Submission(made, replayed), now=5000.0)

    assert (record.phase, record.generation_id, record.replay) == (Phase.SUBMITTED, "task-unified-1", replay)
    assert (record.submitted_at, record.estimated_time) == (submitted_at, 60.0)


def test_a_conflict_says_that_sending_again_is_no_use() -> None:
    """Where another request owns the key, the advice is to look, not to send."""
    made = after_failure(DOUBTED, CONFLICT, REPLAY, used=NONE, killed=False)

    assert isinstance(made, LeaveOpen)
    assert "sending it again settles nothing" in str(made.error)
    assert 'on_clear="resubmit"' in str(made.error)
