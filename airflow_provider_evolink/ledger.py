# SPDX-License-Identifier: Apache-2.0
"""
The durable record of one task instance.

A record is written before the paid request (*intent*), after its answer (*submitted*) and when the result has been
handed on (*finished*) or can't come (*failed*). It lives in Airflow's task state store, which retries, crashes and,
in Airflow 3.3, clears leave alone. These rules must not be relaxed:

* No request is paid for without an intent written before it.
* An intent is withdrawn only when the request provably never left or EvoLink turned it down.
* A record that can't be read is never taken for no record.
* An id, once known, is never dropped: what a new submission replaces stays in ``earlier``, and where its answer was
  lost, so that there is no id, its key does.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Protocol

from airflow_provider_evolink.api.errors import EvoLinkError

KEY = "evolink"


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
    :param sendings: how often it was sent, over all tries.
    :param charged: whether EvoLink says that it was charged though it failed.
    :param max_tries: Airflow's figure at the submission, and again when it ended; a clear raises it.
    :param earlier: ids of the generations that this submission replaced; keys of those whose answer was lost.
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
    sendings: int = 0
    charged: bool = False
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


def new_key() -> str:
    """
    Make the idempotency key of a new submission; the intent keeps it for every sending of it.

    It is drawn by lot, not derived: a run that is deleted and made again, or another Airflow on the same account, asks
    for something new, and must not be handed a generation of long ago with dead links.

    :return: 40 characters; EvoLink's gateway takes 16 to 96 of ``[A-Za-z0-9._-]`` (seen in its clients).
    """
    return f"airflow-{uuid.uuid4().hex}"


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


def _check_types(record: Record) -> None:
    texts = (record.fingerprint, record.key, record.model, record.generation_id or "", record.error_code or "")
    numbers = (record.ordinal, record.intent_at, record.sendings, record.submitted_at or 0.0, record.max_tries or 0)
    if not all(isinstance(text, str) for text in (*texts, *record.earlier)):
        raise TypeError("a text is none")
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError("a number is none")
    if record.phase in {Phase.SUBMITTED, Phase.FINISHED} and (
        record.generation_id is None or record.submitted_at is None
    ):
        raise ValueError("it lacks the generation")


def _unreadable(why: str) -> LedgerError:
    return LedgerError(
        f"The task's ledger holds something that is no record ({why}), so nothing was sent. Mend or delete the key "
        f"{KEY!r} in the task's state store: while it is there, this task can't know what was paid."
    )
