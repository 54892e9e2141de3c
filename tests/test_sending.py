"""What the end of a sending means for the money, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import Generation, Submission
from airflow_provider_evolink.decision import MAX_SENDINGS, Policy
from airflow_provider_evolink.ledger import Phase, Record
from airflow_provider_evolink.sending import PAUSE_SECONDS, LeaveOpen, SendAgain, Withdraw, accepted, after_failure

REPLAY, FAIL = Policy(), Policy(on_unknown_submission="fail")
FIRST = Record(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0, sendings=1)
SECOND = replace(FIRST, sendings=2)
LAST = replace(FIRST, sendings=MAX_SENDINGS)

LOST = errors.ConnectionLostError("lost")
PAGE = errors.MalformedAnswerError("a page")
BUSY = errors.ServerError("503", status=503, retry_after=7.0)
DOUBTED = errors.ServerError("409", status=409, code="paid_outcome_unknown")
NOT_SENT = errors.NotSentError("never left")
POOR = errors.InsufficientCreditsError("402", status=402)
SLOWER = errors.RateLimitedError("429", status=429, retry_after=3.0)
CONFLICT = errors.IdempotencyConflictError("409", status=409, code="idempotency_conflict")
UNKNOWN, ABANDONED = errors.SubmissionUnknownError, errors.SubmissionAbandonedError


@pytest.mark.parametrize(
    ("intent", "error", "policy", "sent", "killed", "ending"),
    [
        # Nothing of it can have been accepted.
        *((FIRST, error, REPLAY, 1, False, Withdraw()) for error in (NOT_SENT, POOR, SLOWER, CONFLICT)),
        *((FIRST, error, FAIL, 1, False, Withdraw()) for error in (NOT_SENT, POOR, SLOWER, CONFLICT)),
        (FIRST, NOT_SENT, REPLAY, 1, True, Withdraw()),
        # It may have been, and the key tells.
        *((FIRST, error, REPLAY, 1, False, SendAgain(PAUSE_SECONDS)) for error in (LOST, PAGE, DOUBTED)),
        (FIRST, BUSY, REPLAY, 1, False, SendAgain(7.0)),
        # It may have been, and this try can't tell.
        *((FIRST, error, REPLAY, 1, True, UNKNOWN) for error in (LOST, PAGE, BUSY, DOUBTED)),
        *((FIRST, error, FAIL, 1, False, ABANDONED) for error in (LOST, PAGE, BUSY, DOUBTED)),
        *((SECOND, error, REPLAY, 2, False, UNKNOWN) for error in (LOST, PAGE, BUSY, DOUBTED, NOT_SENT, SLOWER)),
        *((SECOND, error, REPLAY, 2, False, ABANDONED) for error in (POOR, CONFLICT)),
        *((LAST, error, REPLAY, 1, False, ABANDONED) for error in (LOST, BUSY, NOT_SENT, POOR)),
        # The first sending of a later try is a repeated one too.
        (SECOND, LOST, REPLAY, 1, False, SendAgain(PAUSE_SECONDS)),
        (SECOND, POOR, REPLAY, 1, False, ABANDONED),
    ],
)
def test_each_cell(
    intent: Record, error: errors.EvoLinkError, policy: Policy, sent: int, killed: bool, ending: Any
) -> None:
    """Every end of a sending has its one meaning, and only what was surely not accepted lets the intent go."""
    made = after_failure(intent, error, policy, sent=sent, killed=killed)

    if isinstance(ending, type):
        assert isinstance(made, LeaveOpen)
        assert type(made.error) is ending
        assert "may have been accepted and charged (key airflow-key)" in str(made.error)
    else:
        assert made == ending


@pytest.mark.parametrize(
    ("intent", "replayed", "replay", "submitted_at"),
    [(FIRST, False, None, 150.0), (SECOND, True, "confirmed", 100.0), (SECOND, False, "unconfirmed", 100.0)],
)
def test_what_is_remembered_of_an_acceptance(
    intent: Record, replayed: bool, replay: str | None, submitted_at: float
) -> None:
    """The deadline counts from the first sending, and whether EvoLink knew the key is kept."""
    made = Generation(id="task-unified-1", status="pending", estimated_time=60.0)

    record = accepted(intent, Submission(made, replayed), now=150.0)

    assert (record.phase, record.generation_id, record.replay) == (Phase.SUBMITTED, "task-unified-1", replay)
    assert (record.submitted_at, record.estimated_time) == (submitted_at, 60.0)


def test_a_conflict_says_that_sending_again_is_no_use() -> None:
    """Where another request owns the key, the advice is to look, not to send."""
    made = after_failure(SECOND, CONFLICT, REPLAY, sent=1, killed=False)

    assert isinstance(made, LeaveOpen)
    assert "sending it again settles nothing" in str(made.error)
