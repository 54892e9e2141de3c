# SPDX-License-Identifier: Apache-2.0
"""The durable record of one task instance.

A record is written before the paid request (*intent*), after its response (*submitted*), and when the generation has a
result (*finished*) or has failed (*failed*). It is kept in Airflow's task state store, with one entry per try, so
that a late try can't overwrite what a later one has written, whatever storage holds the values; or in files, see
:mod:`..submission.record_log`. Since Airflow 3.4
empties that store when a task is cleared, there is also a copy, which clears leave alone. These rules must not be
relaxed:

* No request is paid for without an intent written before it.
* An intent is withdrawn only if the request provably never left, or EvoLink rejected it.
* A record that can't be read is never taken for a missing one; neither is one whose value has disappeared from its
  storage.
* An id, once known, is never dropped: a submission that is replaced stays in ``previous_ids``, by its id or, where the
  response was lost and there is none, by its idempotency key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_provider_evolink.api.errors import ConfigurationError, InvalidInputError, LedgerError
from airflow_provider_evolink.submission.entries import ABSENT, Store, TryEntries, intent_at, is_open, with_response
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerRecord, Phase

log = logging.getLogger(__name__)


class Ledger:
    """Read and write the record of one task instance.

    :param store: Airflow's task state store, or files. It refuses the writes of a try that has been superseded.
    :param retention: passed with each write, so that the record is kept forever; by default a write would limit its
        life to 30 days.
    :param name: store key of the record; the entry of a later try has its number appended.
    :param try_number: of the try that reads and writes.
    :param copy: a second store, which a clear does not empty. It is consulted if the first has no entry of earlier
        tries, or lacks the response to a submission. If it can't be written, the task carries on without it.
    :param not_before: earliest time at which an entry of the copy can have been written, in seconds since the epoch;
        older ones belong to a deleted run of the same name.
    :param log: receives warnings about the copy.
    :param on_known: receives the record whenever it was read, or is durable.
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
        on_known: Callable[[LedgerRecord | None], None] | None = None,
    ) -> None:
        self._entries = TryEntries(store, retention, name, try_number, copy)
        self._not_before = not_before
        self._log = log
        self._on_known = on_known or (lambda _: None)

    def read(self) -> LedgerRecord | None:
        """Return the newest record, or ``None`` if there never was one.

        :raises LedgerError: it could not be read. Nothing may be sent then.
        :raises ConfigurationError, InvalidInputError: its storage can't hold a ledger.
        """
        try:
            stored = self._entries.newest()
            # A first try without a record has never run: a record in the copy is a deleted run's of the same name.
            if stored is None or (stored is ABSENT and self._entries.try_number > 1):
                stored = self._from_copy(stored)
            elif is_open(stored):
                stored = self._with_copied_id(stored)
        except (ConfigurationError, InvalidInputError, LedgerError):
            raise
        except Exception as error:
            raise LedgerError(
                f"The task's ledger could not be read ({error}), so nothing was sent. A retry reads it again."
            ) from error
        record = None if stored is ABSENT else LedgerRecord.from_json(stored)
        self._on_known(record)
        return record

    def write(self, record: LedgerRecord) -> LedgerRecord:
        """Store the record; it is durable on return.

        :raises LedgerError: it could not be written, for example because a later try has superseded this one.
        """
        # The copy first: the write that Airflow refuses to a superseded try must be the last one before a send.
        self._write_copy(record)
        try:
            self._entries.write(record.to_json())
        except Exception as error:
            self._withdraw_from_copy(record)
            raise LedgerError(
                f"The task's ledger could not be written ({error}). A retry continues from what it holds."
            ) from error
        self._on_known(record)
        return record

    def _write_copy(self, record: LedgerRecord) -> None:
        try:
            self._entries.write_copy(record.to_json())
        except Exception as error:
            if record.phase is Phase.INTENT:
                self._log.warning(
                    "The ledger's copy could not be written (%s). If Airflow empties this task's state store, as 3.4 "
                    "does when a task is cleared, what this try pays for will be forgotten.",
                    error,
                )

    def _withdraw_from_copy(self, record: LedgerRecord) -> None:
        """Mark a refused intent that was never sent, so that it does not pass for the copy's latest submission."""
        if record.phase is Phase.INTENT and record.send_count <= 1:
            self._write_copy(replace(record, phase=Phase.WITHDRAWN, intent_at=0.0))

    def _from_copy(self, stored: Any) -> Any:
        """Return the latest submission in the copy, where a deleted run of the same name may have left others."""
        copied = list(self._entries.copied())
        own = [entry for entry in copied if intent_at(entry) >= self._not_before]
        if not own:
            return stored
        self._log.warning(
            "The ledger holds no record of this task's earlier tries, as after a clear that empties Airflow's task "
            "state store. Using the ledger's copy."
        )
        return with_response(max(own, key=intent_at), own)

    def _with_copied_id(self, stored: Any) -> Any:
        """Look for an id that only the copy holds; if that can't be read, the submission stays open."""
        try:
            return with_response(stored, self._entries.copied())
        except Exception as error:
            self._log.warning("The ledger's copy could not be read (%s); it may know more than the ledger.", error)
            return stored
