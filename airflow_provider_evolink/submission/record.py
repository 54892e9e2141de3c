# SPDX-License-Identifier: Apache-2.0
"""
One submission of one task instance as the ledger stores it: its fields, their checks, and the digests that go into it.

Pure.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, cast

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.api.sanitize import sanitize

STORE_KEY = "evolink"
_LARGEST, _LATEST = 1e15, 1e11
# Where a person finds an entry that stands in the way.
_WHERE = (
    f"({STORE_KEY!r}, or {STORE_KEY!r} and a number or a task id) in the task's state store, or where that has none, its copy in "
    "that of the asset 'evolink_ledger'"
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
class LedgerRecord:
    """
    One submission of one task instance.

    :param fingerprint: of the request and the account it goes to.
    :param key: the idempotency key, the same for every sending of this submission.
    :param ordinal: the how-manieth submission of this task instance it is, from 1.
    :param try_number: of the try that submitted it.
    :param sendings: how often it was sent, over all tries.
    :param sent_at: of the last sending.
    :param in_doubt_since: of the first sending that may have been accepted, though no answer said so; ``None`` if each
        came to nothing for certain.
    :param account: digest of the API key that it was sent with.
    :param missing_since: when EvoLink was first found not to know the generation, if it did not know it since.
    :param finished_without_waiting: whether the task ended as a success without waiting for the generation.
    :param charged: whether EvoLink says that it was charged though it failed.
    :param max_tries: Airflow's figure at the submission, and again when it ended; a clear raises it.
    :param earlier: ids of the generations that this submission replaced; keys of those whose answer was lost.
    """

    phase: Phase
    fingerprint: str
    idempotency_key: str
    submission_number: int
    model: str
    intent_at: float
    generation_id: str | None = None
    submitted_at: float | None = None
    estimated_time: float | None = None
    credits_reserved: float | None = None
    billing_rule: str | None = None
    replay: str | None = None
    try_number: int = 1
    send_count: int = 0
    last_sent_at: float | None = None
    in_doubt_since: float | None = None
    api_key_digest: str | None = None
    missing_since: float | None = None
    finished_without_waiting: bool = False
    was_charged: bool = False
    max_tries: int | None = None
    result: dict[str, Any] | None = None
    error_code: str | None = None
    error: str | None = None
    previous_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form that is stored: without what is not known."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {**known, "phase": self.phase.value, "previous_ids": list(self.previous_ids)}

    @classmethod
    def from_json(cls, stored: object) -> LedgerRecord:
        """
        Read the stored form; fields of a later version are ignored.

        :raises LedgerError: it is no record of ours.
        """
        if stored is None:
            raise _gone()
        if not isinstance(stored, Mapping):
            raise _unreadable(f"a {type(stored).__name__}")
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        try:
            known["phase"] = Phase(known["phase"])
            known["previous_ids"] = _texts(known.get("previous_ids", []))
            known["result"] = _sound(known.get("result"))
            record = cls(**known)
            _check_types(record)
            return record
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from error


def fingerprint(*parts: str | bytes) -> str:
    """Digest the parts of a request; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def new_idempotency_key() -> str:
    """
    Make the idempotency key of a new submission; the intent keeps it for every sending of it.

    It is drawn by lot, not derived: a run that is deleted and made again, or another Airflow on the same account, asks
    for something new, and must not be handed a generation of long ago with dead links.

    :return: 40 characters; EvoLink's gateway takes 16 to 96 of ``[A-Za-z0-9._-]`` (seen in its clients).
    """
    return f"airflow-{uuid.uuid4().hex}"


def digest_api_key(idempotency_key: str, api_key: str) -> str:
    """
    Tell accounts apart without keeping their API keys.

    :param key: the submission's idempotency key, so that no two records hold the same digest.
    """
    return fingerprint(idempotency_key, api_key)[:16]


def _check_types(record: LedgerRecord) -> None:
    for field in fields(record):
        value, is_optional = getattr(record, field.name), field.default is None
        if not (value is None and is_optional) and not _CHECKS.get(field.name, _is_number)(value):
            raise TypeError(f"{field.name} is of another type")
    if record.phase in {Phase.SUBMITTED, Phase.FINISHED} and (
        record.generation_id is None or record.submitted_at is None
    ):
        raise ValueError("it lacks the generation")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_moment(value: object) -> bool:
    return _is_number(value) and 0 <= cast("float", value) < _LATEST


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "phase": lambda value: isinstance(value, Phase),
    **dict.fromkeys(
        (
            "fingerprint",
            "idempotency_key",
            "model",
            "generation_id",
            "billing_rule",
            "replay",
            "api_key_digest",
            "error_code",
            "error",
        ),
        _is_text,
    ),
    **dict.fromkeys(("intent_at", "submitted_at", "last_sent_at", "in_doubt_since", "missing_since"), _is_moment),
    **dict.fromkeys(("was_charged", "finished_without_waiting"), lambda value: isinstance(value, bool)),
    "result": lambda value: isinstance(value, dict),
    "previous_ids": lambda value: isinstance(value, tuple),
}


def _texts(stored: object) -> tuple[str, ...]:
    if not isinstance(stored, list | tuple) or not all(map(_is_text, stored)):
        raise TypeError("earlier is no list of texts")
    return tuple(stored)


def _sound(result: object) -> dict[str, Any] | None:
    """A result that can be handed on again; any other is forgotten, and EvoLink asked for it."""
    if not isinstance(result, dict):
        return None
    links, usage = result.get("results"), result.get("usage")
    used = usage.get("credits_used", "nothing") if isinstance(usage, dict) else "nothing"
    is_sound = isinstance(links, list) and all(map(_is_text, links)) and (used is None or _is_number(used))
    return result if is_sound and {"generation_id", "status", "expires_at"} <= result.keys() else None


def _gone() -> LedgerError:
    return LedgerError(
        "The task's ledger has an entry whose value is gone from the storage that [workers] state_store_backend keeps "
        "it in, so what was paid is not known and nothing was sent. Restore the object; or, to pay for a new one, "
        f"delete the entry {_WHERE}, and clear the task."
    )


def _unreadable(why: str) -> LedgerError:
    return LedgerError(
        f"The task's ledger holds something that is no record ({sanitize(why, '')}), so nothing was sent. Fix or "
        f"delete that entry {_WHERE}: while it is there, this task can't know what was paid."
    )
