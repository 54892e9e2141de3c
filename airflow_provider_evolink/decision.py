# SPDX-License-Identifier: Apache-2.0
"""
What a try may do about its task's money: submit, send again, go on, hand on, or refuse.

One pure function of what the ledger holds, what is asked for, what the DAG's author wants, and the time.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    PermanentGenerationFailedError,
    StaleRequestError,
    SubmissionAbandonedError,
)
from airflow_provider_evolink.ledger import Phase, Record

# How often, over all tries, and for how long a submission whose answer was lost is sent again. How long EvoLink keeps
# a key is not documented, so not for ever.
MAX_SENDINGS = 6
REPLAY_SECONDS = 6 * 3600.0
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
    """Go on with the recorded generation."""

    record: Record


@dataclass(frozen=True, slots=True)
class Finish:
    """Hand on the recorded result again."""

    record: Record


@dataclass(frozen=True, slots=True)
class Refuse:
    """Stop, with the facts."""

    error: EvoLinkError


Decision = Submit | Replay | Attach | Finish | Refuse


def decide(record: Record | None, fingerprint: str, policy: Policy, *, cleared: bool, now: float) -> Decision:
    """
    Decide what a try may do.

    :param record: what the ledger holds.
    :param fingerprint: of this try's request.
    :param cleared: whether a user cleared the task since the record's result was handed on.
    :param now: seconds since the epoch.
    """
    if record is None:
        return Submit(1)
    if record.phase is Phase.WITHDRAWN:
        return Submit(record.ordinal, record.earlier)
    if record.phase is Phase.FINISHED and cleared and policy.on_clear == "resubmit":
        return _anew(record)
    if record.phase is Phase.FAILED:
        return _after_failure(record, fingerprint, cleared)
    if record.fingerprint != fingerprint:
        return _anew(record) if policy.on_changed_input == "resubmit" else Refuse(_stale(record))
    if record.phase is Phase.INTENT:
        return Replay(record) if _may_replay(record, policy, now) else Refuse(_unknown(record, policy))
    return Attach(record) if record.phase is Phase.SUBMITTED else Finish(record)


def is_mendable(error_code: str | None) -> bool:
    """Whether the same request may succeed after a generation failed with this code."""
    return error_code is None or error_code in MENDABLE


def _anew(record: Record) -> Submit:
    replaced = () if record.generation_id is None else (record.generation_id,)
    return Submit(record.ordinal + 1, tuple(dict.fromkeys((*record.earlier, *replaced))))


def _may_replay(record: Record, policy: Policy, now: float) -> bool:
    is_fresh = record.sendings < MAX_SENDINGS and now - record.intent_at < REPLAY_SECONDS
    return policy.on_unknown_submission == "replay" and is_fresh


def _after_failure(record: Record, fingerprint_: str, cleared: bool) -> Decision:
    is_changed = record.fingerprint != fingerprint_
    if (is_mendable(record.error_code) and not record.charged) or is_changed or cleared:
        return _anew(record)
    why = ": ".join(" ".join(part.split()) for part in (record.error_code, record.error) if part)
    return Refuse(
        PermanentGenerationFailedError(
            f"Generation {record.generation_id} has failed with {why}. The same request would fail again, so nothing "
            "was sent: mend the request, then clear the task.",
            generation_id=record.generation_id or "unknown",
            code=record.error_code,
            detail=record.error,
        )
    )


def _stale(record: Record) -> StaleRequestError:
    if record.generation_id is None:
        paid = "an earlier try sent another request, and whether EvoLink accepted it is not known"
    else:
        paid = f"an earlier try has paid for generation {record.generation_id} with another request"
        if record.credits_reserved is not None:
            paid += f" ({record.credits_reserved:g} credits reserved)"
    return StaleRequestError(
        f"The request has changed since it was submitted: {paid}. Nothing was sent now. Restore the request to go on "
        'with it, collect it with EvoLinkGenerationSensor, or set on_changed_input="resubmit" to pay for the new one.',
        generation_id=record.generation_id,
    )


def _unknown(record: Record, policy: Policy) -> SubmissionAbandonedError:
    if policy.on_unknown_submission == "replay":
        why = f"It was sent {record.sendings} times, or too long ago, for another sending to be safe."
    else:
        why = 'on_unknown_submission="replay" would send the same key again, which EvoLink\'s own clients rely on.'
    return SubmissionAbandonedError(
        f"An earlier try sent this request with idempotency key {record.key} and its answer was lost: it may have been "
        f"charged. Nothing was sent now, and a retry sends nothing either: look for it in EvoLink's task list. {why}"
    )
