# SPDX-License-Identifier: Apache-2.0
"""
What the end of a sending means for the money: accepted, send again, withdraw the intent, or leave it open.

Pure. What is known of an open submission has one of four states, and each has a patience of its own:

* *never reached* EvoLink, or *turned away* by it: nothing was accepted. It is sent again a few times within a try, and
  withdrawn at its end. It uses up nothing of later tries.
* *still being worked on*: EvoLink knows the key and has not finished with an earlier sending. It is asked again, more
  and more slowly, for two minutes of each try.
* *in doubt*: an answer was lost, so that it may have been accepted. It is sent again once in each try, under the same
  key, for as long as EvoLink can be relied on to know the key.

An intent is withdrawn only if no sending of it can have been accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import (
    ConnectionLostError,
    EvoLinkError,
    IdempotencyConflictError,
    InvalidResponseError,
    NotSentError,
    RateLimitedError,
    ServerError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission

PAUSE_SECONDS = 1.0
# Of one try: EvoLink's own client repeats a submission in doubt once, too.
MAX_LOST_RESPONSES = 2
MAX_REJECTIONS = 4
MAX_SECONDS_IN_PROGRESS = 120.0
_LONGEST_PAUSE = 15.0
# After these the request may have arrived. A 5xx does not say that it did not, and a proxy may have written it.
_MAY_BE_ACCEPTED = (ServerError, ConnectionLostError, InvalidResponseError)
# After these it has not, and the same may be accepted in a moment.
_NOT_ACCEPTED_YET = (NotSentError, RateLimitedError)
# EvoLink's clients know this code, of an earlier sending that has not come to an end (undocumented).
_IN_PROGRESS_CODE = "paid_outcome_unknown"


@dataclass(frozen=True, slots=True)
class AttemptBudget:
    """
    What one try has used up of its patience.

    :param doubtful: sendings whose answer was lost.
    :param harmless: sendings of which nothing can have been accepted.
    :param worked_on: seconds waited for an earlier sending to come to its end.
    """

    lost_responses: int = 0
    rejections: int = 0
    seconds_in_progress: float = 0.0


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the same again, under the same key, after ``pause`` seconds; ``spent`` is what the try has used up then."""

    pause: float
    used: AttemptBudget


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Nothing was accepted: the intent may go, and the try ends with what the sending ended with."""


@dataclass(frozen=True, slots=True)
class LeaveOpen:
    """It may have been accepted: the intent stays, and the try ends with ``error``."""

    error: EvoLinkError


def about_to_send(intent: LedgerRecord, *, now: float) -> LedgerRecord:
    """Return what the ledger has to hold while a sending is under way: until it is answered, it is in doubt."""
    since = now if intent.in_doubt_since is None else intent.in_doubt_since
    return replace(intent, send_count=intent.send_count + 1, last_sent_at=now, in_doubt_since=since)


def was_not_accepted(error: EvoLinkError) -> bool:
    """Whether a sending that ended so can't have been accepted."""
    return not isinstance(error, _MAY_BE_ACCEPTED)


def after_failure(
    intent: LedgerRecord, error: EvoLinkError, policy: Policy, *, used: AttemptBudget, killed: bool
) -> SendAgain | Withdraw | LeaveOpen:
    """
    Decide what follows a sending that brought no generation.

    :param intent: what was known before this sending; ``in_doubt_since`` tells whether an earlier one is in doubt.
    :param error: how it ended; any ``ApiError`` but a :class:`ServerError` is EvoLink's own refusal.
    :param spent: what this try has used up, this sending not included.
    :param killed: whether the task has been told to stop.
    """
    again = None if killed else _send_again(error, policy, used)
    if again is not None:
        return again
    is_in_doubt = intent.in_doubt_since is not None
    if was_not_accepted(error):
        return LeaveOpen(_unknown(intent, _again(error), policy)) if is_in_doubt else Withdraw()
    return LeaveOpen(_unknown(intent, error, policy))


def _send_again(error: EvoLinkError, policy: Policy, spent: AttemptBudget) -> SendAgain | None:
    if isinstance(error, _NOT_ACCEPTED_YET):
        return _after_rejection(error, spent)
    if policy.on_unknown_submission == "fail" or was_not_accepted(error):
        return None
    return _after_in_progress(error, spent) if is_in_progress(error) else _after_lost_response(error, spent)


def _after_rejection(error: EvoLinkError, spent: AttemptBudget) -> SendAgain | None:
    made = replace(spent, rejections=spent.rejections + 1)
    if made.rejections >= MAX_REJECTIONS:
        return None
    return SendAgain(_pause(error, PAUSE_SECONDS / 2 * 2.0**made.rejections), made)


def _after_in_progress(error: EvoLinkError, spent: AttemptBudget) -> SendAgain | None:
    # A gateway's "Retry-After: 0" would use the patience up in a burst, while EvoLink is still at work.
    pause = max(min(max(PAUSE_SECONDS, spent.seconds_in_progress), _LONGEST_PAUSE), error.retry_after or 0.0)
    made = replace(spent, seconds_in_progress=spent.seconds_in_progress + max(pause, 1.0))
    return SendAgain(pause, made) if made.seconds_in_progress <= MAX_SECONDS_IN_PROGRESS else None


def _after_lost_response(error: EvoLinkError, spent: AttemptBudget) -> SendAgain | None:
    made = replace(spent, lost_responses=spent.lost_responses + 1)
    return SendAgain(_pause(error, PAUSE_SECONDS), made) if made.lost_responses < MAX_LOST_RESPONSES else None


def is_in_progress(error: EvoLinkError) -> bool:
    """Whether EvoLink says that it has not come to an end with an earlier sending of the same key."""
    return isinstance(error, ServerError) and error.code == _IN_PROGRESS_CODE


def accepted(intent: LedgerRecord, submission: Submission, *, now: float) -> LedgerRecord:
    """
    Return the record of an accepted submission.

    :param intent: what was known before the sending that was answered.
    :param now: seconds since the epoch, when that sending left.

    A replay is ``confirmed`` if EvoLink said that it knew the key, and ``unconfirmed`` if it did not. The deadline is
    reckoned from the sending that was accepted: this one, unless EvoLink says that it was an earlier one.
    """
    generation = submission.generation
    replay = None
    if intent.in_doubt_since is not None:
        replay = "confirmed" if submission.replayed else "unconfirmed"
    return replace(
        intent,
        phase=Phase.SUBMITTED,
        generation_id=generation.id,
        submitted_at=_accepted_at(intent, submission, now) if replay == "confirmed" else now,
        estimated_time=generation.estimated_time,
        credits_reserved=generation.usage.credits_reserved,
        billing_rule=generation.usage.billing_rule,
        in_doubt_since=None,
        replay=replay,
    )


def _accepted_at(intent: LedgerRecord, submission: Submission, now: float) -> float:
    """When the earlier sending was accepted: EvoLink's word for it, if it lies within our own sendings."""
    earliest = now if intent.in_doubt_since is None else intent.in_doubt_since
    latest = earliest if intent.last_sent_at is None else intent.last_sent_at
    created = submission.generation.created
    return latest if created is None else min(max(created, earliest), now)


def _unknown(intent: LedgerRecord, error: EvoLinkError, policy: Policy) -> EvoLinkError:
    """What a try that can't settle it ends with; it says what an earlier sending may have cost."""
    doubt = f"{error} An earlier sending" if intent.in_doubt_since is not None else f"{error} It"
    facts = f"{doubt} may have been accepted and charged (key {intent.idempotency_key})."
    if policy.on_unknown_submission == "fail":
        return SubmissionAbandonedError(
            f"{facts} Nothing is sent again: look for it in EvoLink's task list. If it is not there, set "
            'on_clear="resubmit" and clear the task to submit under a new key.'
        )
    if isinstance(error, IdempotencyConflictError):
        return SubmissionAbandonedError(
            f"{facts} EvoLink takes the key for another request's, so sending it again settles nothing: look for the "
            'generation in EvoLink\'s task list. If it is not there, set on_clear="resubmit" and clear the task to '
            "submit under a new key."
        )
    after = "the same key and body are sent again, which EvoLink's own clients rely on to pay once."
    if error.permanent:
        return SubmissionAbandonedError(f"{facts} Fix what was refused and clear the task: {after}")
    return SubmissionUnknownError(
        f"{facts} With a retry, or when the task is cleared, {after}", retry_after=error.retry_after
    )


def _again(error: EvoLinkError) -> EvoLinkError:
    """What a repeated sending ended with; that this one cost nothing would be half the truth."""
    if isinstance(error, NotSentError):
        return NotSentError("It could not be sent again: EvoLink was out of reach, or the task was stopped.")
    return error


def _pause(error: EvoLinkError, otherwise: float) -> float:
    return otherwise if error.retry_after is None else error.retry_after
