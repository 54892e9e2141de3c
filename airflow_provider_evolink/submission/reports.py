# SPDX-License-Identifier: Apache-2.0
"""The errors that a try ends with if it can't submit: what happened, what it cost, and what a retry does. Pure."""

from __future__ import annotations

from airflow_provider_evolink.api.error_codes import permanence
from airflow_provider_evolink.api.errors import (
    ApiError,
    ConfigurationError,
    EvoLinkError,
    GenerationLostError,
    IdempotencyConflictError,
    InvalidInputError,
    NotSentError,
    PermanentGenerationFailedError,
    ServerError,
    StaleRequestError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.api.sanitize import sentence
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

# How the errors of an unusable connection and of unreadable input end.
_NOTHING_SENT = (" Nothing was sent.", " Nothing was sent by this try.")
_RESUBMIT = (
    'look for the generation in EvoLink\'s task list; if it is not there, set on_clear="resubmit" and clear the task '
    "to submit under a new idempotency key."
)


def generation_failed(record: LedgerRecord) -> PermanentGenerationFailedError:
    """Report a recorded failure that a new submission can't fix, or that was charged."""
    why = ": ".join(" ".join(part.split()) for part in (record.error_code, record.error) if part)
    failure = sentence(f"Generation {record.generation_id} failed with {why or 'no reason given'}")
    reason, remedy = permanence(record.error_code)
    consequence = (
        "EvoLink charged for it, so nothing was sent and a retry sends nothing: ask EvoLink for a refund, or clear the "
        "task to pay for a new one."
        if record.was_charged
        else f"{reason}, so nothing was sent and a retry sends nothing: {remedy}."
    )
    return PermanentGenerationFailedError(
        f"{failure} {consequence}",
        generation_id=record.generation_id or "unknown",
        code=record.error_code,
        detail=record.error,
    )


def generation_lost(record: LedgerRecord) -> GenerationLostError:
    """Report that EvoLink no longer knows a generation that was paid for."""
    return GenerationLostError(
        f"Generation {record.generation_id}, which is paid for{_reserved(record)}, is no longer known to "
        "EvoLink: its results are lost, unless the connection's API key now belongs to another account. Nothing was "
        'sent, and a retry finds the same. Fix the connection, or set on_clear="resubmit" and clear the task to pay '
        "for a new one.",
        generation_id=record.generation_id,
    )


def request_changed(record: LedgerRecord) -> StaleRequestError:
    """Report that the request differs from the one an earlier try submitted."""
    paid = f"an earlier try paid for another one, generation {record.generation_id}{_reserved(record)}"
    way_out = "Restore the request to resume it, collect it with EvoLinkGenerationSensor, or"
    if record.phase is Phase.INTENT:
        paid = (
            "an earlier try sent another request, and its response was lost: it may have been accepted and charged "
            f"(idempotency key {record.idempotency_key})"
        )
        way_out = "Restore the request and clear the task to settle that, or"
    elif record.phase is Phase.FAILED:
        paid += ", which failed and was charged"
        way_out = "Clear the task, or"
    return StaleRequestError(
        f"The request has changed since it was submitted: {paid}. Nothing was sent now, and a retry sends nothing. "
        f'{way_out} set on_changed_input="resubmit" to pay for the new one.',
        generation_id=record.generation_id,
    )


def abandoned(record: LedgerRecord, why: str) -> SubmissionAbandonedError:
    """Report a submission whose response was lost and that must not be sent again.

    :param why: it must not, as a sentence.
    """
    return SubmissionAbandonedError(
        f"This request was sent before, with idempotency key {record.idempotency_key}, and its response was lost: "
        f"it may have been accepted and charged. Nothing was sent now, and a retry sends nothing. {why} To resolve it, "
        f"{_RESUBMIT}"
    )


def input_unreadable(record: LedgerRecord, error: Exception) -> SubmissionUnknownError:
    """Report that a submission whose response was lost can't be sent again, because its input can't be read.

    :param error: why it can't be read; a retry helps unless the input itself is invalid.
    """
    facts = (
        f"{refusal_text(error)} Nothing was sent now, but this request was sent before, with idempotency key "
        f"{record.idempotency_key}, and its response was lost: it may have been accepted and charged."
    )
    if isinstance(error, InvalidInputError):
        return SubmissionAbandonedError(
            f"{facts} A retry sends nothing until the input is restored: then clear the task to send the same request "
            "again."
        )
    return SubmissionUnknownError(f"{facts} A retry reads the input again.")


def request_changed_meanwhile(record: LedgerRecord) -> SubmissionUnknownError:
    """Report that a submission whose response was lost was not sent again, because its input was changing."""
    return SubmissionUnknownError(
        "The input changed while this try was reading it, so nothing was sent now. The request was sent before, with "
        f"idempotency key {record.idempotency_key}, and its response was lost: it may have been accepted and "
        "charged. A retry reads the input again."
    )


def outcome_unknown(intent: LedgerRecord, error: EvoLinkError, *, may_replay: bool) -> SubmissionUnknownError:
    """Report that it is unknown whether a submission was accepted.

    :param intent: what was known before the last send; an earlier one may be in doubt.
    :param error: how the last send ended.
    :param may_replay: whether the same request may be sent again.
    """
    doubt = f"may have been accepted and charged (idempotency key {intent.idempotency_key})."
    facts = (
        f"{error.facts} It {doubt}" if intent.in_doubt_since is None else f"An earlier send {doubt} {_last_send(error)}"
    )
    if not may_replay:
        return SubmissionAbandonedError(f"{facts} A retry sends nothing: {_RESUBMIT}")
    if isinstance(error, IdempotencyConflictError):
        return SubmissionAbandonedError(
            f"{facts} EvoLink reports that the idempotency key belongs to another request, so sending it again does "
            f"not help and a retry sends nothing: {_RESUBMIT}"
        )
    replay = (
        "the same body is sent again with the same idempotency key, which EvoLink's own clients rely on to pay once."
    )
    if error.permanent:
        return SubmissionAbandonedError(f"{facts} Fix what was rejected and clear the task: then {replay}")
    return SubmissionUnknownError(f"{facts} On a retry or a clear, {replay}", retry_after=error.retry_after)


def killed_before_sending() -> NotSentError:
    """Report that the task was killed before its submission was sent."""
    return NotSentError("The task was killed before the submission was sent. Nothing was charged; a retry submits it.")


def unconfirmed_replay(record: LedgerRecord) -> str:
    """Return what to log about a submission that was sent again and whose response does not confirm the replay."""
    return (
        f"EvoLink did not confirm that it knew the idempotency key {record.idempotency_key}: either no earlier send "
        "reached it, or it made, and charges for, two generations. Compare EvoLink's task list with "
        f"{record.generation_id}."
    )


def refusal_text(error: Exception) -> str:
    """Return what an error says without its claim that nothing was sent, for a task that may have paid before."""
    if isinstance(error, InvalidInputError):
        return error.refusal
    message = error.facts if isinstance(error, ConfigurationError) else str(error)
    for claim in _NOTHING_SENT:
        message = message.removesuffix(claim)
    return sentence(message)


def _last_send(error: EvoLinkError) -> str:
    """Describe how a repeated send ended, without the claim that nothing was charged: an earlier one may have been."""
    if isinstance(error, NotSentError):
        return "It could not be sent again: EvoLink was unreachable, or the task was killed."
    if isinstance(error, ServerError) or not isinstance(error, ApiError):
        return error.facts
    names = " ".join(filter(None, (f"HTTP {error.status}", error.code)))
    detail = f": {error.detail}" if error.detail else ""
    request_id = f" [request id {error.request_id}]" if error.request_id else ""
    return sentence(f"EvoLink rejected the last send with {names}{detail}{request_id}")


def _reserved(record: LedgerRecord) -> str:
    return "" if record.credits_reserved is None else f" ({record.credits_reserved:g} credits reserved)"
