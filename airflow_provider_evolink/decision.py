# SPDX-License-Identifier: Apache-2.0
"""
What a try may do about its task's money: submit, replay, re-attach, finish, or refuse.

One pure function of what the ledger holds, what is asked for, what EvoLink says of it, what the DAG's author wants, and
the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_evolink.api.answers import sentence
from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    GenerationLostError,
    PermanentGenerationFailedError,
    StaleRequestError,
    SubmissionAbandonedError,
)
from airflow_provider_evolink.api.generation import CANCELLED, COMPLETED, Generation
from airflow_provider_evolink.collectable import has_results, kept_until
from airflow_provider_evolink.ledger import Phase, Record

# For how long a submission whose answer was lost is sent again, from the first sending that may have been accepted. How
# long EvoLink keeps a key is not documented, so not for ever.
REPLAY_SECONDS = 6 * 3600.0
# What a record's ``replay`` says when EvoLink took the key for another request's.
CONFLICT = "conflict"
# Task error codes after which the same request may succeed (documented; the two doubtful ones, on which EvoLink's
# own clients disagree, count as mendable since a failed generation is not charged).
MENDABLE = frozenset(
    {
        "generation_failed_no_content",
        "generation_timeout",
        "model_unavailable",
        "quota_exceeded",
        "rate_limited",
        "request_cancelled",
        "resource_exhausted",
        "service_error",
        "service_unavailable",
        "unknown_error",
        "upstream_error",
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the DAG's author wants in the cases that are theirs to decide."""

    on_unknown_submission: str = "replay"
    on_clear: str = "reuse"
    on_changed_input: str = "fail"


@dataclass(frozen=True, slots=True)
class Gone:
    """EvoLink does not know the recorded generation any more."""


# What EvoLink says of the recorded generation; ``None`` if it was not asked, or could not be.
Said = Generation | Gone | None


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a new submission, as number ``ordinal`` of this task instance."""

    ordinal: int
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the recorded submission again, with the same key and body."""

    record: Record


@dataclass(frozen=True, slots=True)
class Attach:
    """Go on waiting for the recorded generation; ``seen`` is what EvoLink says of it."""

    record: Record
    seen: Generation | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Hand on the recorded result, or the one that EvoLink has ready in ``seen``."""

    record: Record
    seen: Generation | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Stop, with the facts."""

    error: EvoLinkError


Decision = Submit | Replay | Attach | Finish | Refuse


def decide(
    record: Record | None,
    fingerprint: str,
    said: Said,
    policy: Policy,
    *,
    cleared: bool,
    now: float,
    account: str | None = None,
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
    record = as_said(record, said)
    may_buy_again = cleared and policy.on_clear == "resubmit"
    if record.phase is Phase.WITHDRAWN:
        return Submit(record.ordinal, record.earlier)
    if may_buy_again and (record.phase is Phase.FINISHED or record.handed_over):
        return _anew(record)
    if record.phase is Phase.FAILED:
        return _after_failure(record, fingerprint, policy, cleared)
    if record.fingerprint != fingerprint:
        return _anew(record) if policy.on_changed_input == "resubmit" else Refuse(_stale(record))
    if record.phase is Phase.INTENT:
        return _of_intent(record, policy, may_buy_again, account, now)
    return Finish(record) if record.phase is Phase.FINISHED else _going_on(record, said, may_buy_again, now)


def as_said(record: Record, said: Said) -> Record:
    """Return a submitted record as EvoLink's word leaves it: ``failed`` if the generation has."""
    if record.phase is not Phase.SUBMITTED or not isinstance(said, Generation):
        return record
    return failed(record, said) if said.is_final and said.status != COMPLETED else record


def failed(record: Record, seen: Generation) -> Record:
    """Return the record of a generation that has ended without a result."""
    return replace(
        record,
        phase=Phase.FAILED,
        error_code=failure_code(seen),
        error=seen.error_message,
        charged=seen.was_charged,
    )


def failure_code(seen: Generation) -> str | None:
    """EvoLink's code for the failure; a cancelled generation gets the one its documents have for that."""
    return "request_cancelled" if seen.status == CANCELLED else seen.error_code


def is_mendable(error_code: str | None) -> bool:
    """Whether the same request may succeed after a generation failed with this code."""
    return error_code is None or error_code in MENDABLE


def _anew(record: Record) -> Submit:
    """Replace a submission; where its answer was lost, its key is all that leads to what it may have made."""
    replaced = record.generation_id or record.key
    return Submit(record.ordinal + 1, tuple(dict.fromkeys((*record.earlier, replaced))))


def _of_intent(record: Record, policy: Policy, may_buy_again: bool, account: str | None, now: float) -> Decision:
    """Send an open submission again under its key, or, where that may pay twice, leave it to a person."""
    error = _why_not_replay(record, policy, account, now)
    if error is None:
        return Replay(replace(record, in_doubt_since=doubtful_since(record)))
    return _anew(record) if may_buy_again else Refuse(error)


def _why_not_replay(record: Record, policy: Policy, account: str | None, now: float) -> SubmissionAbandonedError | None:
    if policy.on_unknown_submission == "fail":
        why = 'on_unknown_submission="replay" would send the same key again, which EvoLink\'s own clients rely on.'
        return _unknown(record, why)
    if now - doubtful_since(record) >= REPLAY_SECONDS:
        return _unknown(record, "It was first sent too long ago for EvoLink to be sure to know the key still.")
    if record.replay == CONFLICT:
        return _unknown(record, "EvoLink takes the key for another request's.")
    if None not in (record.account, account) and record.account != account:
        return _unknown(
            record,
            "The connection's API key is another one now: if that is another account's, the request would be paid for "
            "there as well. Restore the key to settle it.",
        )
    return None


def doubtful_since(record: Record) -> float:
    """When the first sending of an open submission left that may have been accepted."""
    return record.intent_at if record.in_doubt_since is None else record.in_doubt_since


def _going_on(record: Record, said: Said, may_buy_again: bool, now: float) -> Decision:
    if may_buy_again and _is_hopeless(record, said, now):
        return _anew(record)
    if isinstance(said, Gone):
        return Refuse(_lost(record))
    is_ready = said is not None and said.status == COMPLETED
    return Finish(record, said) if is_ready else Attach(record, said)


def _is_hopeless(record: Record, said: Said, now: float) -> bool:
    """Whether nothing will come of a generation: it is gone, ended with nothing to collect, or never ended."""
    if isinstance(said, Generation) and said.status == COMPLETED:
        return not has_results(said, record.model)
    return isinstance(said, Gone) or now >= kept_until(record.submitted_at or 0.0, record.model)


def _after_failure(record: Record, fingerprint: str, policy: Policy, cleared: bool) -> Decision:
    is_changed = record.fingerprint != fingerprint
    if cleared or (not record.charged and (is_changed or is_mendable(record.error_code))):
        return _anew(record)
    if is_changed:
        return _anew(record) if policy.on_changed_input == "resubmit" else Refuse(_stale(record))
    why = ": ".join(" ".join(part.split()) for part in (record.error_code, record.error) if part)
    ending = sentence(f"Generation {record.generation_id} has failed with {why or 'no reason given'}")
    reason = (
        "EvoLink charged it, so nothing was sent: ask EvoLink for a refund, or clear the task to pay for a new one."
        if record.charged
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


def _lost(record: Record) -> GenerationLostError:
    price = "" if record.credits_reserved is None else f" ({record.credits_reserved:g} credits reserved)"
    return GenerationLostError(
        f"Generation {record.generation_id}, which an earlier try has paid for{price}, is not known to EvoLink any "
        "more: its results can't be collected, or the key is of another account. Nothing was sent now, and a retry "
        'finds the same. Mend the connection, or set on_clear="resubmit" and clear the task to pay for a new one.',
        generation_id=record.generation_id,
    )


def _stale(record: Record) -> StaleRequestError:
    price = "" if record.credits_reserved is None else f" ({record.credits_reserved:g} credits reserved)"
    paid = f"an earlier try has paid for generation {record.generation_id} with another request{price}"
    way = "Restore the request to go on with it, collect it with EvoLinkGenerationSensor, or"
    if record.phase is Phase.INTENT:
        paid = f"an earlier try sent another request, which may have been accepted and charged (key {record.key})"
        way = "Restore the request and clear the task to settle that, or"
    elif record.phase is Phase.FAILED:
        paid += ", which has failed and was charged"
        way = "Clear the task, or"
    return StaleRequestError(
        f"The request has changed since it was submitted: {paid}. Nothing was sent now. {way} set "
        'on_changed_input="resubmit" to pay for the new one.',
        generation_id=record.generation_id,
    )


def _unknown(record: Record, why: str) -> SubmissionAbandonedError:
    return SubmissionAbandonedError(
        f"An earlier try sent this request with idempotency key {record.key} and its answer was lost: it may have been "
        f"charged. Nothing was sent now, and a retry sends nothing either. {why} Look for the generation in EvoLink's "
        'task list; if it is not there, set on_clear="resubmit" and clear the task to submit under a new key.'
    )
