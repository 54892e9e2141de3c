# SPDX-License-Identifier: Apache-2.0
"""One submission of one task instance, as the ledger stores it: its fields, their validation, and their digests."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, cast

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.api.sanitize import sanitize

STORE_KEY = "evolink"
_MAX_NUMBER, _MAX_TIMESTAMP = 1e15, 1e11
# Where to find an entry that has to be repaired by hand.
_WHERE = (
    f"{STORE_KEY!r} (or {STORE_KEY!r} followed by a number, a task id or a key) in the task's state store or, where it "
    "is not there, its copy in the state store of the asset 'evolink_ledger'; with [evolink] ledger_path, use `airflow "
    "evolink forget`"
)


class Phase(StrEnum):
    """How far a submission has got."""

    INTENT = "intent"
    WITHDRAWN = "withdrawn"
    SUBMITTED = "submitted"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One submission of one task instance. All times are seconds since the epoch.

    :param fingerprint: digest of the request, the connection id and the base URL.
    :param idempotency_key: the same for every send of this submission.
    :param submission_number: 1-based number of this submission within the task instance.
    :param intent_at: when the submission began.
    :param submitted_at: when EvoLink accepted it, as far as that is known; deadlines count from here.
    :param estimated_time: EvoLink's estimate, in seconds.
    :param replay: ``confirmed`` or ``unconfirmed`` if the submission was sent again after its response was lost, by
        whether EvoLink recognized the idempotency key; ``conflict`` if EvoLink reports that it
        belongs to another request.
    :param try_number: the try that submitted it.
    :param send_count: number of sends, over all tries.
    :param last_sent_at: when it was last sent.
    :param in_doubt_since: first send that may have been accepted although no response confirmed it; ``None`` if every
        send is known to have failed.
    :param api_key_digest: digest of the API key that it was sent with.
    :param media_links: the links that its body has for media, by their identity: every send has the same. Kept until
        the generation has ended.
    :param media_expire_at: when the first of them dies.
    :param missing_since: since when EvoLink has not known the generation.
    :param finished_without_waiting: whether the task succeeded without waiting for the generation.
    :param was_charged: whether EvoLink says that it charged for the generation although it failed.
    :param max_tries: Airflow's ``max_tries`` at the submission, and again when the generation ended. It changes when
        the task is cleared, which is how a clear is recognized.
    :param previous_ids: ids of the generations that this submission replaced, or the idempotency keys of those whose
        response was lost.
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
    media_links: dict[str, str] | None = None
    media_expire_at: float | None = None
    missing_since: float | None = None
    finished_without_waiting: bool = False
    was_charged: bool = False
    max_tries: int | None = None
    result: dict[str, Any] | None = None
    error_code: str | None = None
    error: str | None = None
    previous_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, without the fields that are unknown."""
        known = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return {**known, "phase": self.phase.value, "previous_ids": list(self.previous_ids)}

    @classmethod
    def from_json(cls, stored: object) -> LedgerRecord:
        """Read the stored form; fields of a later version are ignored.

        :raises LedgerError: it is not a valid record. Nothing may be sent then.
        """
        if stored is None:
            raise value_lost()
        if not isinstance(stored, Mapping):
            raise unreadable(f"a {type(stored).__name__}")
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        try:
            known["phase"] = Phase(known["phase"])
            known["previous_ids"] = _strings(known.get("previous_ids", []))
            known["result"] = _valid_result(known.get("result"))
            record = cls(**known)
            _check_types(record)
            return record
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(f"{type(error).__name__}: {error}") from error


_NAMES = tuple(field.name for field in fields(LedgerRecord))


def fingerprint(*parts: str | bytes) -> str:
    """Return a digest of the parts of a request; the boundaries between the parts count."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def new_idempotency_key() -> str:
    """Make the idempotency key of a new submission; the intent keeps it for every send.

    It is random rather than derived from the task instance: a run that is deleted and created again, or another
    Airflow on the same account, wants a new generation, not an old one whose links have expired.

    :return: 40 characters. EvoLink's gateway accepts 16 to 96 of ``[A-Za-z0-9._-]`` (undocumented; from its clients).
    """
    return f"airflow-{uuid.uuid4().hex}"


def digest_api_key(idempotency_key: str, api_key: str) -> str:
    """Return a digest that distinguishes API keys without revealing them.

    :param idempotency_key: of the submission; it salts the digest, so that no two records hold the same one.
    """
    return fingerprint(idempotency_key, api_key)[:16]


def _check_types(record: LedgerRecord) -> None:
    for field in fields(record):
        value, is_optional = getattr(record, field.name), field.default is None
        if not (value is None and is_optional) and not _CHECKS.get(field.name, _is_number)(value):
            raise TypeError(f"{field.name} has the wrong type or range")
    if record.phase in {Phase.SUBMITTED, Phase.FINISHED} and (
        record.generation_id is None or record.submitted_at is None
    ):
        raise ValueError("generation_id or submitted_at is missing")


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER


def _is_timestamp(value: object) -> bool:
    return _is_number(value) and 0 <= cast("float", value) < _MAX_TIMESTAMP


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
        _is_string,
    ),
    **dict.fromkeys(
        ("intent_at", "submitted_at", "last_sent_at", "in_doubt_since", "missing_since", "media_expire_at"),
        _is_timestamp,
    ),
    **dict.fromkeys(("was_charged", "finished_without_waiting"), lambda value: isinstance(value, bool)),
    "result": lambda value: isinstance(value, dict),
    "media_links": lambda value: isinstance(value, dict) and all(map(_is_string, (*value, *value.values()))),
    "previous_ids": lambda value: isinstance(value, tuple),
}


def _strings(stored: object) -> tuple[str, ...]:
    if not isinstance(stored, list | tuple) or not all(map(_is_string, stored)):
        raise TypeError("previous_ids is not a list of strings")
    return tuple(stored)


def _valid_result(result: object) -> dict[str, Any] | None:
    """Return a result that can be returned again; drop any other, so that it is read from EvoLink again."""
    if not isinstance(result, dict):
        return None
    links, usage = result.get("results"), result.get("usage")
    used = usage.get("credits_used", "missing") if isinstance(usage, dict) else "missing"
    is_valid = isinstance(links, list) and all(map(_is_string, links)) and (used is None or _is_number(used))
    return result if is_valid and {"generation_id", "status", "expires_at"} <= result.keys() else None


def value_lost() -> LedgerError:
    """Report an entry whose value has disappeared from its storage."""
    return LedgerError(
        "The task's ledger has an entry whose value is missing from the storage of [workers] state_store_backend. What "
        "was paid for is unknown, so nothing was sent, and a retry sends nothing while it is missing. Restore the "
        f"object, or delete the entry {_WHERE}, and clear the task to pay for a new generation."
    )


def unreadable(why: str) -> LedgerError:
    """Report an entry that is not a valid record."""
    return LedgerError(
        f"The task's ledger holds an entry that is not a valid record ({sanitize(why, '')}). What was paid for is "
        "unknown, so nothing was sent, and a retry sends nothing while the entry is there. Repair it, or delete it: "
        f"{_WHERE}."
    )
