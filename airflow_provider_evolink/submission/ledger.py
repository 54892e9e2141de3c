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

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from airflow_provider_evolink.submission.record import STORE_KEY, LedgerError, LedgerRecord, Phase

log = logging.getLogger(__name__)

_ABSENT = object()


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
        name: str = STORE_KEY,
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

    def read(self) -> LedgerRecord | None:
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
                stored = self._with_copied_id(stored)
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be read ({error}), so nothing was sent. A retry reads it again."
            ) from error
        return None if stored is _ABSENT else LedgerRecord.from_json(stored)

    def write(self, record: LedgerRecord) -> LedgerRecord:
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

    def _write_copy(self, record: LedgerRecord) -> None:
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

    def _take_back(self, record: LedgerRecord) -> None:
        """A refused intent of which nothing was sent must not pass, in the copy, for the submission begun last."""
        if record.phase is Phase.INTENT and record.send_count <= 1:
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

    def _with_copied_id(self, stored: Any) -> Any:
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
    answers = (one for one in others if _is_answer(one) and one.get("idempotency_key") == entry.get("idempotency_key"))
    return next(answers, entry) if _is_open(entry) else entry


def _is_answer(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("generation_id") is not None
