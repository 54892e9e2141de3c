# SPDX-License-Identifier: Apache-2.0
"""
The durable record of one task instance.

A record is written before the paid request (*intent*), after its answer (*submitted*) and when the result has been
handed on (*finished*) or can't come (*failed*). It lives in Airflow's task state store, one entry for each try, so that
a late try can't overwrite what a later one has written, whatever keeps the values; and, since Airflow 3.4 empties that
store when a task is cleared, in a copy that clears leave alone. These rules must not be relaxed:

* No request is paid for without an intent written before it.
* An intent is withdrawn only when the request provably never left or EvoLink turned it down.
* A record that can't be read is never taken for no record; one whose value is gone from where it was kept can't be.
* An id, once known, is never dropped: what a new submission replaces stays in ``earlier``, and where its answer was
  lost, so that there is no id, its key does.
"""

from __future__ import annotations

import hashlib
import logging
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Protocol, cast

from airflow_provider_evolink.api.answers import clean
from airflow_provider_evolink.api.errors import EvoLinkError

log = logging.getLogger(__name__)

KEY = "evolink"
_ABSENT = object()
_LARGEST, _LATEST = 1e15, 1e11
# Where a person finds an entry that stands in the way.
_WHERE = (
    f"({KEY!r}, or {KEY!r} and a number or a task id) in the task's state store, or where that has none, its copy in "
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
class Record:
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
    :param handed_over: whether the task ended as a success without waiting for the generation.
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
    sent_at: float | None = None
    in_doubt_since: float | None = None
    account: str | None = None
    missing_since: float | None = None
    handed_over: bool = False
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
        if stored is None:
            raise _gone()
        if not isinstance(stored, Mapping):
            raise _unreadable(f"a {type(stored).__name__}")
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        try:
            known["phase"] = Phase(known["phase"])
            known["earlier"] = _texts(known.get("earlier", []))
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


def new_key() -> str:
    """
    Make the idempotency key of a new submission; the intent keeps it for every sending of it.

    It is drawn by lot, not derived: a run that is deleted and made again, or another Airflow on the same account, asks
    for something new, and must not be handed a generation of long ago with dead links.

    :return: 40 characters; EvoLink's gateway takes 16 to 96 of ``[A-Za-z0-9._-]`` (seen in its clients).
    """
    return f"airflow-{uuid.uuid4().hex}"


def account_digest(key: str, api_key: str) -> str:
    """
    Tell accounts apart without keeping their API keys.

    :param key: the submission's idempotency key, so that no two records hold the same digest.
    """
    return fingerprint(key, api_key)[:16]


class Store(Protocol):
    """Keeps JSON values by name, as Airflow's task state store does."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102
    def set(self, key: str, value: Any, *, retention: Any = None) -> None: ...  # noqa: D102


class Ledger:
    """
    Reads and writes the record of one task instance.

    :param store: Airflow's task state store. It refuses the writes of a try whose place another has taken.
    :param retention: keeps the record for good; each write would shorten it to 30 days otherwise.
    :param name: of the record; the entry of a try after the first has the try's number behind it.
    :param try_number: of the try that reads and writes.
    :param copy: a second store, which a clear does not empty; it is asked where the first has nothing to say of
        earlier tries, or lacks the answer to a submission. A copy that can't be written stops nothing.
    :param not_before: when what the copy holds can have been written at the earliest, in seconds since the epoch;
        what is older is of a deleted run of the same name.
    :param log: takes what a person should know of the copy.
    """

    def __init__(
        self,
        store: Store,
        retention: Any,
        *,
        name: str = KEY,
        try_number: int = 1,
        copy: Store | None = None,
        not_before: float = 0.0,
        log: logging.Logger = log,
    ) -> None:
        self._store = store
        self._retention = retention
        self._name = name
        self._try_number = try_number
        self._copy = copy
        self._not_before = not_before
        self._log = log

    def read(self) -> Record | None:
        """
        Return the newest record, or ``None`` if there never was one.

        :raises LedgerError: it could not be read. Nothing may be sent then.
        """
        try:
            stored = next(self._entries(self._store), _ABSENT)
            # A first try with no record is a task that has never run, even if a deleted run of that name has.
            if stored is None or (stored is _ABSENT and self._try_number > 1):
                stored = self._from_copy(stored)
            elif _is_open(stored):
                stored = self._answered(stored)
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be read ({error}), so nothing was sent. A retry reads it again."
            ) from error
        return None if stored is _ABSENT else Record.from_json(stored)

    def write(self, record: Record) -> Record:
        """
        Store the record; it is durable on return.

        :raises LedgerError: it could not be written, as when another try has taken this one's place.
        """
        # The copy first: the write that another try's can refuse has to be the last before anything is sent.
        self._write_copy(record)
        try:
            self._store.set(self._entry(self._try_number), record.to_json(), retention=self._retention)
        except Exception as error:
            self._take_back(record)
            raise LedgerError(
                f"The task's ledger could not be written ({error}). A retry goes on from what it holds."
            ) from error
        return record

    def _entry(self, try_number: int) -> str:
        return self._name if try_number <= 1 else f"{self._name}.{try_number}"

    def _entries(self, store: Store) -> Iterator[Any]:
        """What the tries up to this one have left, the last of them first."""
        for try_number in range(max(self._try_number, 1), 0, -1):
            stored = store.get(self._entry(try_number), _ABSENT)
            if stored is not _ABSENT:
                yield stored

    def _write_copy(self, record: Record) -> None:
        if self._copy is None:
            return
        try:
            self._copy.set(self._entry(self._try_number), record.to_json())
        except Exception as error:
            if record.phase is Phase.INTENT:
                self._log.warning(
                    "The ledger's copy could not be written (%s). Should Airflow empty this task's state store, as "
                    "3.4 does when a task is cleared, nothing will be known of what this try pays.",
                    error,
                )

    def _take_back(self, record: Record) -> None:
        """A refused intent of which nothing was sent must not pass, in the copy, for the submission begun last."""
        if record.phase is Phase.INTENT and record.sendings <= 1:
            self._write_copy(replace(record, phase=Phase.WITHDRAWN, intent_at=0.0))

    def _from_copy(self, stored: Any) -> Any:
        """Take the submission that was begun last; a deleted run of that name may have left others, and more tries."""
        kept = [] if self._copy is None else list(self._entries(self._copy))
        own = [entry for entry in kept if _begun_at(entry) >= self._not_before]
        if not own:
            return stored
        self._log.warning(
            "Airflow's task state store holds no record of this task's earlier tries, as after a clear that empties "
            "it. Going on with the ledger's copy."
        )
        return _answer_to(max(own, key=_begun_at), own)

    def _answered(self, stored: Any) -> Any:
        """Look for an id that only the copy has taken; where that can't be read, the submission stays open."""
        try:
            return _answer_to(stored, [] if self._copy is None else self._entries(self._copy))
        except Exception as error:
            self._log.warning("The ledger's copy could not be read (%s); it may know more.", error)
            return stored


def _begun_at(entry: object) -> float:
    """When an entry's submission was begun; what can't be read counts as the last, so that nobody passes it over."""
    moment = entry.get("intent_at") if isinstance(entry, Mapping) else None
    return moment if isinstance(moment, int | float) else math.inf


def _is_open(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("phase") == Phase.INTENT


def _answer_to(entry: Any, others: Iterable[Any]) -> Any:
    """Return what another entry knows of the same open submission: the answer to it, or the entry itself."""
    answers = (one for one in others if _is_answer(one) and one.get("key") == entry.get("key"))
    return next(answers, entry) if _is_open(entry) else entry


def _is_answer(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("generation_id") is not None


def _check_types(record: Record) -> None:
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
        ("fingerprint", "key", "model", "generation_id", "billing_rule", "replay", "account", "error_code", "error"),
        _is_text,
    ),
    **dict.fromkeys(("intent_at", "submitted_at", "sent_at", "in_doubt_since", "missing_since"), _is_moment),
    **dict.fromkeys(("charged", "handed_over"), lambda value: isinstance(value, bool)),
    "result": lambda value: isinstance(value, dict),
    "earlier": lambda value: isinstance(value, tuple),
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
        f"The task's ledger holds something that is no record ({clean(why, '')}), so nothing was sent. Fix or "
        f"delete that entry {_WHERE}: while it is there, this task can't know what was paid."
    )
