# SPDX-License-Identifier: Apache-2.0
"""
The durable record of one task instance, and the decision what a try may do about it.

A record is written before the paid request (*intent*), after its answer (*submitted*) and when the result has been
handed on (*finished*) or can't come (*failed*). It lives in Airflow's task state store, which retries, crashes and,
in Airflow 3.3, clears leave alone. These rules must not be relaxed:

* No request is paid for without an intent written before it.
* An intent is withdrawn only when the request provably never left or EvoLink turned it down.
* A record that can't be read is never taken for no record.
* An id, once known, is never dropped: what a new submission replaces stays in ``earlier``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Protocol

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    PermanentGenerationFailedError,
    StaleRequestError,
    SubmissionAbandonedError,
)

KEY = "evolink"
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


class LedgerError(EvoLinkError):
    """The ledger could not be read or written; nothing was sent. A retry reads it again."""


class Phase(StrEnum):
    """How far the record's submission has come."""

    INTENT = "intent"
    WITHDRAWN = "withdrawn"
    SUBMITTED = "submitted"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Record:
    """
    One submission of one task instance.

    :param fingerprint: of the request and the account it goes to.
    :param key: the idempotency key, the same for every sending of this submission.
    :param ordinal: the how-manieth submission of this task instance it is, from 1.
    :param try_number: of the try that submitted it.
    :param max_tries: Airflow's figure when the result was handed on; a clear raises it.
    :param earlier: ids of generations that this submission replaced.
    """

    phase: Phase
    fingerprint: str
    key: str
    ordinal: int
    model: str
    intent_at: float
    generation_id: str | None = None
    submitted_at: float | None = None
    estimated_time: float | None = None
    credits_reserved: float | None = None
    billing_rule: str | None = None
    replay: str | None = None
    try_number: int = 1
    max_tries: int | None = None
    result: dict[str, Any] | None = None
    error_code: str | None = None
    error: str | None = None
    earlier: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form that is stored: without what is not known."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {**known, "phase": self.phase.value, "earlier": list(self.earlier)}

    @classmethod
    def from_json(cls, stored: object) -> Record:
        """
        Read the stored form; fields of a later version are ignored.

        :raises LedgerError: it is no record of ours.
        """
        if not isinstance(stored, Mapping):
            raise _unreadable(f"a {type(stored).__name__}")
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        try:
            known["phase"] = Phase(known["phase"])
            known["earlier"] = tuple(known.get("earlier", ()))
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from error


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


def decide(record: Record | None, fingerprint: str, policy: Policy, *, cleared: bool) -> Decision:
    """
    Decide what a try may do.

    :param record: what the ledger holds.
    :param fingerprint: of this try's request.
    :param cleared: whether a user cleared the task since the record's result was handed on.
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
        return Replay(record) if policy.on_unknown_submission == "replay" else Refuse(_unknown(record))
    return Attach(record) if record.phase is Phase.SUBMITTED else Finish(record)


def is_mendable(error_code: str | None) -> bool:
    """Whether the same request may succeed after a generation failed with this code."""
    return error_code is None or error_code in MENDABLE


def fingerprint(*parts: str | bytes) -> str:
    """Digest the parts of a request; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def idempotency_key(task_instance: tuple[str, str, str, int], fingerprint_: str, ordinal: int) -> str:
    """
    The key of one submission: the same for every try of it, another for any other.

    :param task_instance: dag, run, task and map index.
    :return: 56 characters; EvoLink's gateway takes 16 to 96 of ``[A-Za-z0-9._-]`` (seen in its clients).
    """
    dag_id, run_id, task_id, map_index = task_instance
    return "airflow-" + fingerprint(dag_id, run_id, task_id, str(map_index), fingerprint_, str(ordinal))[:48]


class Store(Protocol):
    """The part of Airflow's task state store that is used."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102
    def set(self, key: str, value: Any, *, retention: Any = None) -> None: ...  # noqa: D102


class Ledger:
    """
    Reads and writes the record of one task instance.

    :param store: Airflow's task state store.
    :param retention: keeps the record for good; each write would shorten it to 30 days otherwise.
    """

    def __init__(self, store: Store, retention: Any) -> None:
        self._store = store
        self._retention = retention

    def read(self) -> Record | None:
        """
        Return the record, or ``None`` if there never was one.

        :raises LedgerError: it could not be read. Nothing may be sent then.
        """
        try:
            stored = self._store.get(KEY)
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be read ({error}), so nothing was sent. A retry reads it again."
            ) from error
        return None if stored is None else Record.from_json(stored)

    def write(self, record: Record) -> Record:
        """
        Store the record; it is durable on return.

        :raises LedgerError: it could not be written, as when another try has taken this one's place.
        """
        try:
            self._store.set(KEY, record.to_json(), retention=self._retention)
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be written ({error}). A retry goes on from what it holds."
            ) from error
        return record


def _anew(record: Record) -> Submit:
    replaced = () if record.generation_id is None else (record.generation_id,)
    return Submit(record.ordinal + 1, tuple(dict.fromkeys((*record.earlier, *replaced))))


def _after_failure(record: Record, fingerprint_: str, cleared: bool) -> Decision:
    is_changed = record.fingerprint != fingerprint_
    if is_mendable(record.error_code) or is_changed or cleared:
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


def _unknown(record: Record) -> SubmissionAbandonedError:
    return SubmissionAbandonedError(
        f"An earlier try sent this request with idempotency key {record.key} and its answer was lost: it may have been "
        "charged. Nothing was sent now, and a retry sends nothing either. Look for it in EvoLink's task list; "
        'on_unknown_submission="replay" sends the same key again, which EvoLink\'s own clients rely on.'
    )


def _unreadable(why: str) -> LedgerError:
    return LedgerError(
        f"The task's ledger holds something that is no record ({why}), so nothing was sent. Mend or delete the key "
        f"{KEY!r} in the task's state store: while it is there, this task can't know what was paid."
    )
