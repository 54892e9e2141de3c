# SPDX-License-Identifier: Apache-2.0
"""
What a try may do about its task's money: submit, replay, re-attach, finish, or refuse.

One pure function of what the ledger holds, what is asked for, what EvoLink says of it, what the DAG's author wants, and
the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_evolink.api.error_codes import is_retryable
from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    GenerationLostError,
    PermanentGenerationFailedError,
    StaleRequestError,
    SubmissionAbandonedError,
)
from airflow_provider_evolink.api.generation import CANCELLED, COMPLETED, Generation
from airflow_provider_evolink.api.results import has_results, results_expire_at
from airflow_provider_evolink.api.sanitize import sentence
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

# For how long a submission whose answer was lost is sent again, from the first sending that may have been accepted. How
# long EvoLink keeps a key is not documented, so not for ever.
REPLAY_SECONDS = 6 * 3600.0
# What a record's ``replay`` says when EvoLink took the key for another request's.
CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the DAG's author wants in the cases that are theirs to decide."""

    on_unknown_submission: str = "replay"
    on_clear: str = "reuse"
    on_changed_input: str = "fail"


@dataclass(frozen=True, slots=True)
class RemoteNotFound:
    """EvoLink does not know the recorded generation any more."""


# What EvoLink says of the recorded generation; ``None`` if it was not asked, or could not be.
RemoteState = Generation | RemoteNotFound | None


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a new submission, as number ``ordinal`` of this task instance."""

    submission_number: int
    previous_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the recorded submission again, with the same key and body."""

    record: LedgerRecord


@dataclass(frozen=True, slots=True)
class Attach:
    """Go on waiting for the recorded generation; ``seen`` is what EvoLink says of it."""

    record: LedgerRecord
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Hand on the recorded result, or the one that EvoLink has ready in ``seen``."""

    record: LedgerRecord
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Stop, with the facts."""

    error: EvoLinkError


Decision = Submit | Replay | Attach | Finish | Refuse


def decide(
    record: LedgerRecord | None,
    fingerprint: str,
    remote: RemoteState,
    policy: Policy,
    *,
    cleared: bool,
    now: float,
    api_key_digest: str | None = None,
) -> Decision:
    """
    Decide what a try may do.

    :param record: what the ledger holds.
    :param fingerprint: of this try's request.
    :param said: what EvoLink says of a record in phase ``submitted``.
    :param cleared: whether a user has cleared the task since the record's submission, or since its end.
    :param now: seconds since the epoch.
    :param account: digest of the API key that this try would send the record's submission with.
    """
    if record is None:
        return Submit(1)
    record = apply_remote_state(record, remote)
    may_resubmit = cleared and policy.on_clear == "resubmit"
    if record.phase is Phase.WITHDRAWN:
        return Submit(record.submission_number, record.previous_ids)
    if may_resubmit and (record.phase is Phase.FINISHED or record.finished_without_waiting):
        return _submit_anew(record)
    if record.phase is Phase.FAILED:
        return _decide_failed(record, fingerprint, policy, cleared)
    if record.fingerprint != fingerprint:
        return _submit_anew(record) if policy.on_changed_input == "resubmit" else Refuse(_stale(record))
    if record.phase is Phase.INTENT:
        return _decide_open_intent(record, policy, may_resubmit, api_key_digest, now)
    return Finish(record) if record.phase is Phase.FINISHED else _decide_submitted(record, remote, may_resubmit, now)


def apply_remote_state(record: LedgerRecord, remote: RemoteState) -> LedgerRecord:
    """Return a submitted record as EvoLink's word leaves it: ``failed`` if the generation has."""
    if record.phase is not Phase.SUBMITTED or not isinstance(remote, Generation):
        return record
    return as_failed(record, remote) if remote.is_terminal and remote.status != COMPLETED else record


def as_failed(record: LedgerRecord, generation: Generation) -> LedgerRecord:
    """Return the record of a generation that has ended without a result."""
    return replace(
        record,
        phase=Phase.FAILED,
        error_code=failure_code(generation),
        error=generation.error_message,
        was_charged=generation.was_charged,
    )


def failure_code(generation: Generation) -> str | None:
    """EvoLink's code for the failure; a cancelled generation gets the one its documents have for that."""
    return "request_cancelled" if generation.status == CANCELLED else generation.error_code


def _submit_anew(record: LedgerRecord) -> Submit:
    """Replace a submission; where its answer was lost, its key is all that leads to what it may have made."""
    replaced = record.generation_id or record.idempotency_key
    return Submit(record.submission_number + 1, tuple(dict.fromkeys((*record.previous_ids, replaced))))


def _decide_open_intent(
    record: LedgerRecord, policy: Policy, may_resubmit: bool, api_key_digest: str | None, now: float
) -> Decision:
    """Send an open submission again under its key, or, where that may pay twice, leave it to a person."""
    error = _why_not_replay(record, policy, api_key_digest, now)
    if error is None:
        return Replay(replace(record, in_doubt_since=in_doubt_since(record)))
    return _submit_anew(record) if may_resubmit else Refuse(error)


def _why_not_replay(
    record: LedgerRecord, policy: Policy, api_key_digest: str | None, now: float
) -> SubmissionAbandonedError | None:
    if policy.on_unknown_submission == "fail":
        why = 'on_unknown_submission="replay" would send the same key again, which EvoLink\'s own clients rely on.'
        return _unknown(record, why)
    if now - in_doubt_since(record) >= REPLAY_SECONDS:
        return _unknown(record, "It was first sent too long ago for EvoLink to be sure to know the key still.")
    if record.replay == CONFLICT:
        return _unknown(record, "EvoLink takes the key for another request's.")
    if None not in (record.api_key_digest, api_key_digest) and record.api_key_digest != api_key_digest:
        return _unknown(
            record,
            "The connection's API key is another one now: if that is another account's, the request would be paid for "
            "there as well. Restore the key to settle it.",
        )
    return None


def in_doubt_since(record: LedgerRecord) -> float:
    """When the first sending of an open submission left that may have been accepted."""
    return record.intent_at if record.in_doubt_since is None else record.in_doubt_since


def _decide_submitted(record: LedgerRecord, remote: RemoteState, may_resubmit: bool, now: float) -> Decision:
    if may_resubmit and _is_hopeless(record, remote, now):
        return _submit_anew(record)
    if isinstance(remote, RemoteNotFound):
        return Refuse(_lost(record))
    is_ready = remote is not None and remote.status == COMPLETED
    return Finish(record, remote) if is_ready else Attach(record, remote)


def _is_hopeless(record: LedgerRecord, remote: RemoteState, now: float) -> bool:
    """Whether nothing will come of a generation: it is gone, ended with nothing to collect, or never ended."""
    if isinstance(remote, Generation) and remote.status == COMPLETED:
        return not has_results(remote, record.model)
    return isinstance(remote, RemoteNotFound) or now >= results_expire_at(record.submitted_at or 0.0, record.model)


def _decide_failed(record: LedgerRecord, fingerprint: str, policy: Policy, cleared: bool) -> Decision:
    is_changed = record.fingerprint != fingerprint
    if cleared or (not record.was_charged and (is_changed or is_retryable(record.error_code))):
        return _submit_anew(record)
    if is_changed:
        return _submit_anew(record) if policy.on_changed_input == "resubmit" else Refuse(_stale(record))
    why = ": ".join(" ".join(part.split()) for part in (record.error_code, record.error) if part)
    ending = sentence(f"Generation {record.generation_id} has failed with {why or 'no reason given'}")
    reason = (
        "EvoLink charged it, so nothing was sent: ask EvoLink for a refund, or clear the task to pay for a new one."
        if record.was_charged
        else "The same request would fail again, so nothing was sent: fix the request, then clear the task."
    )
    return Refuse(
        PermanentGenerationFailedError(
            f"{ending} {reason}",
            generation_id=record.generation_id or "unknown",
            code=record.error_code,
            detail=record.error,
        )
    )


def _lost(record: LedgerRecord) -> GenerationLostError:
    price = "" if record.credits_reserved is None else f" ({record.credits_reserved:g} credits reserved)"
    return GenerationLostError(
        f"Generation {record.generation_id}, which an earlier try has paid for{price}, is not known to EvoLink any "
        "more: its results can't be collected, or the key is of another account. Nothing was sent now, and a retry "
        'finds the same. Mend the connection, or set on_clear="resubmit" and clear the task to pay for a new one.',
        generation_id=record.generation_id,
    )


def _stale(record: LedgerRecord) -> StaleRequestError:
    price = "" if record.credits_reserved is None else f" ({record.credits_reserved:g} credits reserved)"
    paid = f"an earlier try has paid for generation {record.generation_id} with another request{price}"
    way = "Restore the request to go on with it, collect it with EvoLinkGenerationSensor, or"
    if record.phase is Phase.INTENT:
        paid = f"an earlier try sent another request, which may have been accepted and charged (key {record.idempotency_key})"
        way = "Restore the request and clear the task to settle that, or"
    elif record.phase is Phase.FAILED:
        paid += ", which has failed and was charged"
        way = "Clear the task, or"
    return StaleRequestError(
        f"The request has changed since it was submitted: {paid}. Nothing was sent now. {way} set "
        'on_changed_input="resubmit" to pay for the new one.',
        generation_id=record.generation_id,
    )


def _unknown(record: LedgerRecord, why: str) -> SubmissionAbandonedError:
    return SubmissionAbandonedError(
        f"An earlier try sent this request with idempotency key {record.idempotency_key} and its answer was lost: it may have been "
        f"charged. Nothing was sent now, and a retry sends nothing either. {why} Look for the generation in EvoLink's "
        'task list; if it is not there, set on_clear="resubmit" and clear the task to submit under a new key.'
    )
