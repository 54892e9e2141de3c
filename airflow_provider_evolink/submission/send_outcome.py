# SPDX-License-Identifier: Apache-2.0
"""Decide what follows a POST: the submission is accepted, sent again, withdrawn, or left open.

Pure. An open submission is in one of these states, each with a budget of its own:

* *never reached* EvoLink, or *turned away* by it (429): nothing was accepted. It is sent again up to three times within
  a try and then withdrawn, so that it costs later tries nothing.
* *in progress*: EvoLink knows the idempotency key and is still processing an earlier send. It is sent again, at growing
  intervals, for two minutes of each try.
* *in doubt*: a response was lost, so it may have been accepted. It is sent again once in each try, under the same
  idempotency key, for as long as EvoLink can be relied on to remember that key.

An intent is withdrawn only if no send of it can have been accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
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
)
from airflow_provider_evolink.submission.decision import CONFLICT, Policy, Submit
from airflow_provider_evolink.submission.record import LedgerRecord, Phase, digest_api_key, new_idempotency_key
from airflow_provider_evolink.submission.reports import outcome_unknown

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission

PAUSE_SECONDS = 1.0
# How often the write of an id is attempted, with pauses in between.
ID_WRITES = 3
_STEP_SECONDS = 0.2
# Limits of one try. EvoLink's own client also repeats a submission in doubt once.
MAX_LOST_RESPONSES = 2
MAX_REJECTIONS = 4
MAX_SECONDS_IN_PROGRESS = 120.0
_MAX_PAUSE = 15.0
# After these the request may have arrived: a 5xx does not say that it did not, and a proxy may have written it.
_MAY_BE_ACCEPTED = (ServerError, ConnectionLostError, InvalidResponseError)
# After these it has not been accepted, and the same request may be in a moment.
_NOT_ACCEPTED_YET = (NotSentError, RateLimitedError)
# An earlier send with this idempotency key is still being processed (undocumented; from EvoLink's clients).
_IN_PROGRESS_CODE = "paid_outcome_unknown"


@dataclass(frozen=True, slots=True)
class AttemptBudget:
    """What one try has used up.

    :param lost_responses: sends whose response was lost.
    :param rejections: sends that were certainly not accepted.
    :param seconds_in_progress: time spent waiting for an earlier send to be processed.
    """

    lost_responses: int = 0
    rejections: int = 0
    seconds_in_progress: float = 0.0


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the same request again after ``pause`` seconds; ``used`` is what the try has used up by then."""

    pause: float
    used: AttemptBudget


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Nothing was accepted: withdraw the intent and end the try with the error of the send."""


@dataclass(frozen=True, slots=True)
class LeaveOpen:
    """It may have been accepted: keep the intent and end the try with ``error``."""

    error: EvoLinkError


def new_intent(submit: Submit, model: str, fingerprint: str, api_key: str, *, now: float) -> LedgerRecord:
    """Return the intent of a new submission, with an idempotency key of its own.

    :param fingerprint: digest of the request, the connection id and the base URL.
    :param api_key: of the connection; only a digest of it is stored.
    :param now: seconds since the epoch.
    """
    key = new_idempotency_key()
    return LedgerRecord(
        Phase.INTENT,
        fingerprint,
        key,
        submit.submission_number,
        model,
        now,
        api_key_digest=digest_api_key(key, api_key),
        previous_ids=submit.previous_ids,
    )


def about_to_send(intent: LedgerRecord, *, now: float) -> LedgerRecord:
    """Return what the ledger must hold during a send, which is in doubt until its response arrives."""
    since = now if intent.in_doubt_since is None else intent.in_doubt_since
    return replace(intent, send_count=intent.send_count + 1, last_sent_at=now, in_doubt_since=since)


def was_not_accepted(error: EvoLinkError) -> bool:
    """Return whether a send that ended with this error was certainly not accepted."""
    return not isinstance(error, _MAY_BE_ACCEPTED)


def after_failed_send(intent: LedgerRecord, sent: LedgerRecord, error: EvoLinkError) -> LedgerRecord:
    """Return what is known after a failed send: it is in doubt if this send, or an earlier one, is.

    :param intent: what was known before the send.
    :param sent: what the ledger held during it.
    """
    since = intent.in_doubt_since if was_not_accepted(error) else sent.in_doubt_since
    replay = CONFLICT if isinstance(error, IdempotencyConflictError) else sent.replay
    return replace(sent, in_doubt_since=since, replay=replay)


def after_failure(
    intent: LedgerRecord, error: EvoLinkError, policy: Policy, *, used: AttemptBudget, killed: bool
) -> SendAgain | Withdraw | LeaveOpen:
    """Decide what follows a send that returned no generation.

    :param intent: what was known before this send; its ``in_doubt_since`` says whether an earlier one is in doubt.
    :param error: how the send ended; any ``ApiError`` but a :class:`ServerError` is EvoLink's own rejection.
    :param policy: of the DAG's author.
    :param used: what this try has used up, without this send.
    :param killed: whether the task has been killed.
    """
    again = None if killed else _send_again(error, policy, used)
    if again is not None:
        return again
    if was_not_accepted(error) and intent.in_doubt_since is None:
        return Withdraw()
    return LeaveOpen(outcome_unknown(intent, error, may_replay=policy.on_unknown_submission != "fail"))


def _send_again(error: EvoLinkError, policy: Policy, used: AttemptBudget) -> SendAgain | None:
    if isinstance(error, _NOT_ACCEPTED_YET):
        return _after_rejection(error, used)
    if policy.on_unknown_submission == "fail" or was_not_accepted(error):
        return None
    return _after_in_progress(error, used) if is_in_progress(error) else _after_lost_response(error, used)


def _after_rejection(error: EvoLinkError, used: AttemptBudget) -> SendAgain | None:
    used = replace(used, rejections=used.rejections + 1)
    if used.rejections >= MAX_REJECTIONS:
        return None
    return SendAgain(_pause(error, PAUSE_SECONDS / 2 * 2.0**used.rejections), used)


def _after_in_progress(error: EvoLinkError, used: AttemptBudget) -> SendAgain | None:
    # With a gateway's "Retry-After: 0" the budget must not go in a burst while EvoLink is still processing.
    pause = max(min(max(PAUSE_SECONDS, used.seconds_in_progress), _MAX_PAUSE), error.retry_after or 0.0)
    used = replace(used, seconds_in_progress=used.seconds_in_progress + max(pause, 1.0))
    return SendAgain(pause, used) if used.seconds_in_progress <= MAX_SECONDS_IN_PROGRESS else None


def _after_lost_response(error: EvoLinkError, used: AttemptBudget) -> SendAgain | None:
    used = replace(used, lost_responses=used.lost_responses + 1)
    return SendAgain(_pause(error, PAUSE_SECONDS), used) if used.lost_responses < MAX_LOST_RESPONSES else None


def is_in_progress(error: EvoLinkError) -> bool:
    """Return whether EvoLink is still processing an earlier send with the same idempotency key."""
    return isinstance(error, ServerError) and error.code == _IN_PROGRESS_CODE


def accepted(intent: LedgerRecord, sent: LedgerRecord, submission: Submission) -> LedgerRecord:
    """Return the record of an accepted submission.

    A replay is ``confirmed`` if EvoLink reported that it knew the idempotency key, and ``unconfirmed`` otherwise. The
    deadline counts from the send that was accepted: this one, unless EvoLink confirms that it was an earlier one.

    :param intent: what was known before the send that was accepted.
    :param sent: what the ledger held during it.
    :param submission: EvoLink's response.
    """
    now = sent.intent_at if sent.last_sent_at is None else sent.last_sent_at
    generation, usage = submission.generation, submission.generation.usage
    # A generation that is completed at once has reserved nothing: what it has used is as gone.
    committed = usage.credits_used if usage.credits_reserved is None else usage.credits_reserved
    replay = None
    if intent.in_doubt_since is not None:
        replay = "confirmed" if submission.replayed else "unconfirmed"
    return replace(
        intent,
        phase=Phase.SUBMITTED,
        generation_id=generation.id,
        submitted_at=_accepted_at(intent, submission, now) if replay == "confirmed" else now,
        estimated_time=generation.estimated_time,
        credits_reserved=committed,
        billing_rule=usage.billing_rule,
        send_count=sent.send_count,
        last_sent_at=sent.last_sent_at,
        in_doubt_since=None,
        replay=replay,
    )


def _accepted_at(intent: LedgerRecord, submission: Submission, now: float) -> float:
    """Return when an earlier send was accepted: EvoLink's timestamp, provided it lies between our own sends."""
    earliest = now if intent.in_doubt_since is None else intent.in_doubt_since
    latest = earliest if intent.last_sent_at is None else intent.last_sent_at
    created = submission.generation.created
    return latest if created is None else min(max(created, earliest), now)


def _pause(error: EvoLinkError, default: float) -> float:
    return default if error.retry_after is None else error.retry_after


def pause_steps(seconds: float) -> Iterator[float]:
    """Divide a pause into short ones, between which a kill can be noticed."""
    while seconds > 0:
        yield min(seconds, _STEP_SECONDS)
        seconds -= _STEP_SECONDS
