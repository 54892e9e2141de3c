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
    MalformedAnswerError,
    NotSentError,
    RateLimitedError,
    ServerError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.decision import Policy
from airflow_provider_evolink.ledger import Phase, Record

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission

PAUSE_SECONDS = 1.0
# Of one try: EvoLink's own client repeats a submission in doubt once, too.
DOUBTFUL_SENDINGS = 2
HARMLESS_SENDINGS = 4
WORKED_ON_SECONDS = 120.0
_LONGEST_PAUSE = 15.0
# After these the request may have arrived. A 5xx does not say that it did not, and a proxy may have written it.
_DOUBTFUL = (ServerError, ConnectionLostError, MalformedAnswerError)
# After these it has not, and the same may be accepted in a moment.
_HARMLESS = (NotSentError, RateLimitedError)
# EvoLink's clients know this code, of an earlier sending that has not come to an end (undocumented).
_WORKED_ON = "paid_outcome_unknown"


@dataclass(frozen=True, slots=True)
class Spent:
    """
    What one try has used up of its patience.

    :param doubtful: sendings whose answer was lost.
    :param harmless: sendings of which nothing can have been accepted.
    :param worked_on: seconds waited for an earlier sending to come to its end.
    """

    doubtful: int = 0
    harmless: int = 0
    worked_on: float = 0.0


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the same again, under the same key, after ``pause`` seconds; ``spent`` is what the try has used up then."""

    pause: float
    spent: Spent


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Nothing was accepted: the intent may go, and the try ends with what the sending ended with."""


@dataclass(frozen=True, slots=True)
class LeaveOpen:
    """It may have been accepted: the intent stays, and the try ends with ``error``."""

    error: EvoLinkError


def about_to_send(intent: Record, *, now: float) -> Record:
    """Return what the ledger has to hold while a sending is under way: until it is answered, it is in doubt."""
    since = now if intent.in_doubt_since is None else intent.in_doubt_since
    return replace(intent, sendings=intent.sendings + 1, sent_at=now, in_doubt_since=since)


def came_to_nothing(error: EvoLinkError) -> bool:
    """Whether a sending that ended so can't have been accepted."""
    return not isinstance(error, _DOUBTFUL)


def after_failure(
    intent: Record, error: EvoLinkError, policy: Policy, *, spent: Spent, killed: bool
) -> SendAgain | Withdraw | LeaveOpen:
    """
    Decide what follows a sending that brought no generation.

    :param intent: what was known before this sending; ``in_doubt_since`` tells whether an earlier one is in doubt.
    :param error: how it ended; any ``ApiError`` but a :class:`ServerError` is EvoLink's own refusal.
    :param spent: what this try has used up, this sending not included.
    :param killed: whether the task has been told to stop.
    """
    again = None if killed else _send_again(error, policy, spent)
    if again is not None:
        return again
    is_in_doubt = intent.in_doubt_since is not None
    if came_to_nothing(error):
        return LeaveOpen(_unknown(intent, _again(error), policy)) if is_in_doubt else Withdraw()
    return LeaveOpen(_unknown(intent, error, policy))


def _send_again(error: EvoLinkError, policy: Policy, spent: Spent) -> SendAgain | None:
    if isinstance(error, _HARMLESS):
        return _after_harmless(error, spent)
    if policy.on_unknown_submission == "fail" or came_to_nothing(error):
        return None
    return _after_worked_on(error, spent) if is_worked_on(error) else _after_doubtful(error, spent)


def _after_harmless(error: EvoLinkError, spent: Spent) -> SendAgain | None:
    made = replace(spent, harmless=spent.harmless + 1)
    if made.harmless >= HARMLESS_SENDINGS:
        return None
    return SendAgain(_pause(error, PAUSE_SECONDS / 2 * 2.0**made.harmless), made)


def _after_worked_on(error: EvoLinkError, spent: Spent) -> SendAgain | None:
    # A gateway's "Retry-After: 0" would use the patience up in a burst, while EvoLink is still at work.
    pause = max(min(max(PAUSE_SECONDS, spent.worked_on), _LONGEST_PAUSE), error.retry_after or 0.0)
    made = replace(spent, worked_on=spent.worked_on + max(pause, 1.0))
    return SendAgain(pause, made) if made.worked_on <= WORKED_ON_SECONDS else None


def _after_doubtful(error: EvoLinkError, spent: Spent) -> SendAgain | None:
    made = replace(spent, doubtful=spent.doubtful + 1)
    return SendAgain(_pause(error, PAUSE_SECONDS), made) if made.doubtful < DOUBTFUL_SENDINGS else None


def is_worked_on(error: EvoLinkError) -> bool:
    """Whether EvoLink says that it has not come to an end with an earlier sending of the same key."""
    return isinstance(error, ServerError) and error.code == _WORKED_ON


def accepted(intent: Record, submission: Submission, *, now: float) -> Record:
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


def _accepted_at(intent: Record, submission: Submission, now: float) -> float:
    """When the earlier sending was accepted: EvoLink's word for it, if it lies within our own sendings."""
    earliest = now if intent.in_doubt_since is None else intent.in_doubt_since
    latest = earliest if intent.sent_at is None else intent.sent_at
    created = submission.generation.created
    return latest if created is None else min(max(created, earliest), now)


def _unknown(intent: Record, error: EvoLinkError, policy: Policy) -> EvoLinkError:
    """What a try that can't settle it ends with; it says what an earlier sending may have cost."""
    doubt = f"{error} An earlier sending" if intent.in_doubt_since is not None else f"{error} It"
    facts = f"{doubt} may have been accepted and charged (key {intent.key})."
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
