# SPDX-License-Identifier: Apache-2.0
"""Decide what a try may do: submit, replay, attach, finish or refuse.

A pure function of what the ledger holds, the request, EvoLink's report about the recorded generation, the policies of
the DAG's author, and the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_evolink.api.error_codes import is_retryable
from airflow_provider_evolink.api.errors import EvoLinkError, SubmissionAbandonedError
from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.api.results import has_results, results_expire_at
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.remote_state import RemoteNotFound, RemoteState, apply_remote_state
from airflow_provider_evolink.submission.reports import abandoned, generation_failed, generation_lost, request_changed

# For how long a submission whose response was lost is sent again, counted from the first send that may have been
# accepted. How long EvoLink remembers an idempotency key is undocumented, so not forever.
REPLAY_SECONDS = 6 * 3600.0
# Value of a record's ``replay`` if EvoLink reports that the idempotency key belongs to another request.
CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Policy:
    """The choices of the DAG's author: arguments of the same names of ``EvoLinkGenerateOperator``."""

    on_unknown_submission: str = "replay"
    on_clear: str = "reuse"
    on_changed_input: str = "fail"


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a new submission, which replaces those in ``previous_ids``."""

    submission_number: int
    previous_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the recorded submission again, with the same idempotency key and body."""

    record: LedgerRecord


@dataclass(frozen=True, slots=True)
class Attach:
    """Wait for the recorded generation; ``generation`` is EvoLink's report about it, if there is one."""

    record: LedgerRecord
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Return the recorded result, or the one in ``generation``, which EvoLink has completed."""

    record: LedgerRecord
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Stop with an error that states the facts."""

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
    """Decide what a try may do.

    :param record: what the ledger holds.
    :param fingerprint: digest of this try's request.
    :param remote: EvoLink's report about the generation of a submitted record.
    :param cleared: whether a user has cleared the task since the record was submitted, or since it ended.
    :param now: seconds since the epoch.
    :param api_key_digest: of the API key that this try would send the recorded submission with; ``None`` = unknown.
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
        return _submit_anew(record) if policy.on_changed_input == "resubmit" else Refuse(request_changed(record))
    if record.phase is Phase.INTENT:
        return _decide_open_intent(record, policy, may_resubmit, api_key_digest, now)
    return Finish(record) if record.phase is Phase.FINISHED else _decide_submitted(record, remote, may_resubmit, now)


def _submit_anew(record: LedgerRecord) -> Submit:
    """Replace a submission; without a response, only its idempotency key leads to what it may have made."""
    replaced = record.generation_id or record.idempotency_key
    return Submit(record.submission_number + 1, tuple(dict.fromkeys((*record.previous_ids, replaced))))


def _decide_open_intent(
    record: LedgerRecord, policy: Policy, may_resubmit: bool, api_key_digest: str | None, now: float
) -> Decision:
    """Send an open submission again, or leave it to a person if that might pay twice."""
    error = _why_not_replay(record, policy, api_key_digest, now)
    if error is None:
        return Replay(replace(record, in_doubt_since=in_doubt_since(record)))
    return _submit_anew(record) if may_resubmit else Refuse(error)


def _why_not_replay(
    record: LedgerRecord, policy: Policy, api_key_digest: str | None, now: float
) -> SubmissionAbandonedError | None:
    if policy.on_unknown_submission == "fail":
        why = (
            'With on_unknown_submission="replay" it would be sent again with the same idempotency key, as EvoLink\'s '
            "own clients do."
        )
    elif now - in_doubt_since(record) >= REPLAY_SECONDS:
        hours = f"{REPLAY_SECONDS / 3600:g} hours"
        why = f"It was first sent more than {hours} ago, so EvoLink may have forgotten the idempotency key."
    elif record.replay == CONFLICT:
        why = "EvoLink reports that the idempotency key belongs to another request."
    elif None not in (record.api_key_digest, api_key_digest) and record.api_key_digest != api_key_digest:
        why = (
            "The connection's API key has changed since: if the new one belongs to another account, sending the "
            "request again would pay there as well. Restore the API key to resolve it."
        )
    else:
        return None
    return abandoned(record, why)


def in_doubt_since(record: LedgerRecord) -> float:
    """Return the time of the first send of an open submission that may have been accepted."""
    return record.intent_at if record.in_doubt_since is None else record.in_doubt_since


def _decide_submitted(record: LedgerRecord, remote: RemoteState, may_resubmit: bool, now: float) -> Decision:
    if may_resubmit and _is_hopeless(record, remote, now):
        return _submit_anew(record)
    if isinstance(remote, RemoteNotFound):
        return Refuse(generation_lost(record))
    is_ready = remote is not None and remote.status == COMPLETED
    return Finish(record, remote) if is_ready else Attach(record, remote)


def _is_hopeless(record: LedgerRecord, remote: RemoteState, now: float) -> bool:
    """Return whether a generation will not deliver: it is gone, completed without a result, or overdue."""
    if isinstance(remote, Generation) and remote.status == COMPLETED:
        return not has_results(remote, record.model)
    return isinstance(remote, RemoteNotFound) or now >= results_expire_at(record.submitted_at or 0.0, record.model)


def _decide_failed(record: LedgerRecord, fingerprint: str, policy: Policy, cleared: bool) -> Decision:
    is_changed = record.fingerprint != fingerprint
    if cleared or (not record.was_charged and (is_changed or is_retryable(record.error_code))):
        return _submit_anew(record)
    if is_changed:
        return _submit_anew(record) if policy.on_changed_input == "resubmit" else Refuse(request_changed(record))
    return Refuse(generation_failed(record))
