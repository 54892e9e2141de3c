# SPDX-License-Identifier: Apache-2.0
"""What follows a POST, case by case."""

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
IN_DOUBT = replace(FRESH, send_count=1, last_sent_at=101.0, in_doubt_since=101.0)
SENT_OFTEN = replace(IN_DOUBT, send_count=1000, last_sent_at=900.0)

LOST = errors.ConnectionLostError("lost")
PAGE = errors.InvalidResponseError("a page")
BUSY = errors.ServerError("503", status=503, retry_after=7.0)
IN_PROGRESS = errors.ServerError("409", status=409, code="paid_outcome_unknown")
NOT_SENT = errors.NotSentError("never left")
NO_CREDITS = errors.InsufficientCreditsError("402", status=402)
RATE_LIMITED = errors.RateLimitedError("429", status=429, retry_after=3.0)
CONFLICT = errors.IdempotencyConflictError("409", status=409, code="idempotency_conflict")
UNKNOWN, ABANDONED = errors.SubmissionUnknownError, errors.SubmissionAbandonedError

UNUSED = AttemptBudget()
ALL_RESPONSES = AttemptBudget(lost_responses=MAX_LOST_RESPONSES - 1)
ALL_REJECTIONS = AttemptBudget(rejections=MAX_REJECTIONS - 1)
ALL_SECONDS = AttemptBudget(seconds_in_progress=MAX_SECONDS_IN_PROGRESS)
ALL = AttemptBudget(MAX_LOST_RESPONSES - 1, MAX_REJECTIONS - 1, MAX_SECONDS_IN_PROGRESS)


@pytest.mark.parametrize(
    ("intent", "error", "policy", "used", "killed", "outcome"),
    [
        # It was certainly not accepted: it is sent again within the try, then withdrawn.
        *((FRESH, NO_CREDITS, policy, UNUSED, False, Withdraw()) for policy in (REPLAY, FAIL)),
        *((FRESH, CONFLICT, policy, UNUSED, False, Withdraw()) for policy in (REPLAY, FAIL)),
        *(
            (FRESH, RATE_LIMITED, policy, UNUSED, False, SendAgain(3.0, AttemptBudget(rejections=1)))
            for policy in (REPLAY, FAIL)
        ),
        (FRESH, NOT_SENT, REPLAY, UNUSED, False, SendAgain(PAUSE_SECONDS, AttemptBudget(rejections=1))),
        (
            FRESH,
            NOT_SENT,
            REPLAY,
            AttemptBudget(rejections=1),
            False,
            SendAgain(2 * PAUSE_SECONDS, AttemptBudget(rejections=2)),
        ),
        *((FRESH, error, REPLAY, ALL_REJECTIONS, False, Withdraw()) for error in (NOT_SENT, RATE_LIMITED)),
        *((FRESH, error, REPLAY, UNUSED, True, Withdraw()) for error in (NOT_SENT, RATE_LIMITED, NO_CREDITS)),
        # It may have been accepted: it is sent again, with the same idempotency key.
        *(
            (FRESH, error, REPLAY, UNUSED, False, SendAgain(PAUSE_SECONDS, AttemptBudget(lost_responses=1)))
            for error in (LOST, PAGE)
        ),
        *(
            (SENT_OFTEN, error, REPLAY, UNUSED, False, SendAgain(PAUSE_SECONDS, AttemptBudget(lost_responses=1)))
            for error in (LOST, PAGE)
        ),
        (FRESH, BUSY, REPLAY, UNUSED, False, SendAgain(7.0, AttemptBudget(lost_responses=1))),
        (IN_DOUBT, RATE_LIMITED, REPLAY, ALL_RESPONSES, False, SendAgain(3.0, replace(ALL_RESPONSES, rejections=1))),
        # EvoLink is still processing it: it is sent again at growing intervals, whatever else was used up.
        (
            IN_DOUBT,
            IN_PROGRESS,
            REPLAY,
            ALL_RESPONSES,
            False,
            SendAgain(1.0, replace(ALL_RESPONSES, seconds_in_progress=1.0)),
        ),
        (
            IN_DOUBT,
            IN_PROGRESS,
            REPLAY,
            AttemptBudget(seconds_in_progress=4.0),
            False,
            SendAgain(4.0, AttemptBudget(seconds_in_progress=8.0)),
        ),
        (
            IN_DOUBT,
            IN_PROGRESS,
            REPLAY,
            AttemptBudget(seconds_in_progress=60.0),
            False,
            SendAgain(15.0, AttemptBudget(seconds_in_progress=75.0)),
        ),
        (IN_DOUBT, IN_PROGRESS, REPLAY, ALL_SECONDS, False, UNKNOWN),
        # It may have been accepted, and this try can't find out.
        *((FRESH, error, REPLAY, UNUSED, True, UNKNOWN) for error in (LOST, PAGE, BUSY, IN_PROGRESS)),
        *((FRESH, error, FAIL, UNUSED, False, ABANDONED) for error in (LOST, PAGE, BUSY, IN_PROGRESS)),
        *((FRESH, error, REPLAY, ALL, False, UNKNOWN) for error in (LOST, PAGE, BUSY, IN_PROGRESS)),
        *(
            (SENT_OFTEN, error, REPLAY, ALL, False, UNKNOWN)
            for error in (LOST, PAGE, BUSY, IN_PROGRESS, NOT_SENT, RATE_LIMITED)
        ),
        *((IN_DOUBT, error, REPLAY, UNUSED, False, ABANDONED) for error in (NO_CREDITS, CONFLICT)),
    ],
)
def test_each_case(
    intent: LedgerRecord, error: errors.EvoLinkError, policy: Policy, used: AttemptBudget, killed: bool, outcome: Any
) -> None:
    """Each failed send has exactly one outcome, and an intent is withdrawn only if it was certainly not accepted."""
    decided = after_failure(intent, error, policy, used=used, killed=killed)

    if isinstance(outcome, type):
        assert isinstance(decided, LeaveOpen)
        assert type(decided.error) is outcome
        assert "may have been accepted and charged" in str(decided.error)
        assert "airflow-key" in str(decided.error)
    else:
        assert decided == outcome


@pytest.mark.parametrize("error", [LOST, NOT_SENT, RATE_LIMITED, IN_PROGRESS])
def test_a_try_ends(error: errors.EvoLinkError) -> None:
    """Whatever the response, a try stops sending after two minutes."""
    used, send_count, paused = AttemptBudget(), 0, 0.0
    while isinstance(step := after_failure(IN_DOUBT, error, REPLAY, used=used, killed=False), SendAgain):
        used, send_count, paused = step.used, send_count + 1, paused + step.pause

    assert 0 < send_count < 20
    assert paused <= MAX_SECONDS_IN_PROGRESS


def test_sends_in_progress_are_repeated_neither_forever_nor_in_a_burst() -> None:
    """However short the pause that EvoLink demands, the budget of a try lasts two minutes, and no longer."""
    in_progress = errors.ServerError("409", status=409, code="paid_outcome_unknown", retry_after=0.0)
    used, pauses = UNUSED, list[float]()
    while isinstance(step := after_failure(IN_DOUBT, in_progress, REPLAY, used=used, killed=False), SendAgain):
        used, pauses = step.used, [*pauses, step.pause]
        assert len(pauses) < 20
    assert isinstance(step, LeaveOpen)
    assert pauses == sorted(pauses)
    assert MAX_SECONDS_IN_PROGRESS - 15 < sum(pauses) <= MAX_SECONDS_IN_PROGRESS


def test_retry_after_reaches_the_retry_policy() -> None:
    """The ``Retry-After`` of a 503 is in the error that the try ends with."""
    busy = errors.ServerError("503", status=503, retry_after=120.0)
    decided = after_failure(IN_DOUBT, busy, REPLAY, used=ALL, killed=False)

    assert isinstance(decided, LeaveOpen)
    assert decided.error.retry_after == 120.0


def test_a_send_is_in_doubt_until_its_response() -> None:
    """If the worker dies during a send, the record has the time of the first that may have been accepted."""
    first = about_to_send(FRESH, now=150.0)
    second = about_to_send(first, now=160.0)

    assert (first.send_count, first.last_sent_at, first.in_doubt_since) == (1, 150.0, 150.0)
    assert (second.send_count, second.last_sent_at, second.in_doubt_since) == (2, 160.0, 150.0)


@pytest.mark.parametrize(
    ("intent", "replayed", "created", "replay", "submitted_at"),
    [
        # The first send, or one after others that were certainly not accepted, however long ago those were.
        (FRESH, False, None, None, 5000.0),
        (replace(FRESH, send_count=3, last_sent_at=4000.0), False, 17.0, None, 5000.0),
        # A replay that EvoLink does not confirm counts as a new generation.
        (IN_DOUBT, False, None, "unconfirmed", 5000.0),
        (IN_DOUBT, False, 101.0, "unconfirmed", 5000.0),
        # One that it confirms was accepted at an earlier send: at EvoLink's timestamp, if that is plausible.
        (IN_DOUBT, True, None, "confirmed", 101.0),
        (SENT_OFTEN, True, None, "confirmed", 900.0),
        (SENT_OFTEN, True, 500.0, "confirmed", 500.0),
        (SENT_OFTEN, True, 17.0, "confirmed", 101.0),
        (SENT_OFTEN, True, 9000.0, "confirmed", 5000.0),
    ],
)
def test_the_deadline_counts_from_the_send_that_was_accepted(
    intent: LedgerRecord, replayed: bool, created: float | None, replay: str | None, submitted_at: float
) -> None:
    """The time of the accepted send is recorded, and whether EvoLink recognized the idempotency key."""
    generation = Generation(id="task-unified-1", status="pending", estimated_time=60.0, created=created)

    record = accepted(intent, about_to_send(intent, now=5000.0), Submission(generation, replayed))

    assert (record.phase, record.generation_id, record.replay) == (Phase.SUBMITTED, "task-unified-1", replay)
    assert (record.submitted_at, record.estimated_time) == (submitted_at, 60.0)


def test_after_a_conflict_nothing_is_sent_again() -> None:
    """If the idempotency key belongs to another request, a person has to check before a new one is sent."""
    decided = after_failure(IN_DOUBT, CONFLICT, REPLAY, used=UNUSED, killed=False)

    assert isinstance(decided, LeaveOpen)
    assert decided.error.permanent
    for fact in ("airflow-key", "another request", "retry sends nothing", 'on_clear="resubmit"'):
        assert fact in str(decided.error)
