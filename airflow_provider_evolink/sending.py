# SPDX-License-Identifier: Apache-2.0
"""
What the end of a sending means for the money: accepted, send again, withdraw the intent, or leave it open.

Pure. An intent is withdrawn only if no sending of it can have been accepted; each other end leaves it, for the next
sending or the next try.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import (
    ApiError,
    ConnectionLostError,
    EvoLinkError,
    IdempotencyConflictError,
    MalformedAnswerError,
    NotSentError,
    ServerError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.decision import MAX_SENDINGS, Policy
from airflow_provider_evolink.ledger import Phase, Record

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission

# Of one try; EvoLink's own client repeats once too.
SENDINGS_OF_A_TRY = 2
PAUSE_SECONDS = 1.0
# After these the request may have arrived. A 5xx does not say that it did not, and a proxy may have written it.
_DOUBTFUL = (ServerError, ConnectionLostError, MalformedAnswerError)


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the same again, under the same key, after ``pause`` seconds."""

    pause: float


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Nothing was accepted: the intent may go, and the try ends with what the sending ended with."""


@dataclass(frozen=True, slots=True)
class LeaveOpen:
    """It may have been accepted: the intent stays, and the try ends with ``error``."""

    error: EvoLinkError


def after_failure(
    intent: Record, error: EvoLinkError, policy: Policy, *, sent: int, killed: bool
) -> SendAgain | Withdraw | LeaveOpen:
    """
    Decide what follows a sending that brought no generation.

    :param intent: with this sending counted in ``sendings``.
    :param error: how it ended; any :class:`ApiError` but a :class:`ServerError` is EvoLink's own refusal.
    :param sent: sendings of this try, this one included.
    :param killed: whether the task has been told to stop.
    """
    is_first = intent.sendings == 1
    if not isinstance(error, _DOUBTFUL):
        return Withdraw() if is_first else LeaveOpen(_unknown(intent, _again(error), policy))
    may_replay = sent < SENDINGS_OF_A_TRY and intent.sendings < MAX_SENDINGS and not killed
    if may_replay and policy.on_unknown_submission == "replay":
        return SendAgain(_pause(error))
    return LeaveOpen(_unknown(intent, error, policy))


def accepted(intent: Record, submission: Submission, *, now: float) -> Record:
    """
    Return the record of an accepted submission.

    A replay is ``confirmed`` if EvoLink said that it knew the key, and ``unconfirmed`` if it did not.
    """
    generation = submission.generation
    is_repeated = intent.sendings > 1
    replay = None
    if is_repeated:
        replay = "confirmed" if submission.replayed else "unconfirmed"
    return replace(
        intent,
        phase=Phase.SUBMITTED,
        generation_id=generation.id,
        # Our own clock: the deadline is reckoned by it. Of a sending that was repeated, the first one counts.
        submitted_at=intent.intent_at if is_repeated else now,
        estimated_time=generation.estimated_time,
        credits_reserved=generation.usage.credits_reserved,
        billing_rule=generation.usage.billing_rule,
        replay=replay,
    )


def _unknown(intent: Record, error: EvoLinkError, policy: Policy) -> EvoLinkError:
    """What a try that can't settle it ends with; it says what an earlier sending may have cost."""
    doubt = f"{error} An earlier sending" if intent.sendings > 1 else f"{error} It"
    facts = f"{doubt} may have been accepted and charged (key {intent.key})."
    if policy.on_unknown_submission == "fail" or intent.sendings >= MAX_SENDINGS:
        return SubmissionAbandonedError(
            f"{facts} Nothing is sent again: look for it in EvoLink's task list before you clear the ledger."
        )
    if isinstance(error, IdempotencyConflictError):
        return SubmissionAbandonedError(
            f"{facts} EvoLink takes the key for another request's, so sending it again settles nothing: look for the "
            "generation in EvoLink's task list before you clear the ledger."
        )
    after = "the same key and body are sent again, which EvoLink's own clients rely on to pay once."
    if error.permanent:
        return SubmissionAbandonedError(f"{facts} Mend what was refused and clear the task: {after}")
    return SubmissionUnknownError(f"{facts} With a retry {after}")


def _again(error: EvoLinkError) -> EvoLinkError:
    """What a repeated sending ended with; that this one cost nothing would be half the truth."""
    if isinstance(error, NotSentError):
        return NotSentError("It could not be sent again: EvoLink was out of reach, or the task was stopped.")
    return error


def _pause(error: EvoLinkError) -> float:
    told = error.retry_after if isinstance(error, ApiError) else None
    return PAUSE_SECONDS if told is None else told
