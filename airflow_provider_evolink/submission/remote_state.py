# SPDX-License-Identifier: Apache-2.0
"""What EvoLink reports about the recorded generation, and what that makes of the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_evolink.api.errors import EvoLinkError, GenerationNotFoundError
from airflow_provider_evolink.api.generation import (
    CANCELLED,
    COMPLETED,
    CONFIRMATION_SECONDS,
    NOT_FOUND_GRACE,
    Generation,
)
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import LedgerRecord, Phase


@dataclass(frozen=True, slots=True)
class RemoteNotFound:
    """EvoLink no longer knows the recorded generation."""


# ``None`` if the generation was not read, or the read failed.
RemoteState = Generation | RemoteNotFound | None


def apply_remote_state(record: LedgerRecord, remote: RemoteState) -> LedgerRecord:
    """Return a submitted record as ``failed`` if its generation has failed, and any other unchanged."""
    if record.phase is not Phase.SUBMITTED or not isinstance(remote, Generation):
        return record
    return as_failed(record, remote) if remote.is_terminal and remote.status != COMPLETED else record


def as_failed(record: LedgerRecord, generation: Generation) -> LedgerRecord:
    """Return the record of a generation that ended without a result."""
    return replace(
        record,
        phase=Phase.FAILED,
        error_code=_failure_code(generation),
        error=generation.error_message,
        was_charged=generation.was_charged,
        media_links=None,
        media_expire_at=None,
    )


def _failure_code(generation: Generation) -> str | None:
    """Return EvoLink's error code; a cancelled generation gets the one documented for that."""
    return "request_cancelled" if generation.status == CANCELLED else generation.error_code


def after_report(record: LedgerRecord, generation: Generation, max_tries: int) -> LedgerRecord:
    """Return a submitted record after EvoLink has reported on its generation.

    :param max_tries: Airflow's current ``max_tries``.
    """
    updated = apply_remote_state(replace(record, missing_since=None), generation)
    if updated.phase is Phase.FAILED and not record.finished_without_waiting:
        # A clear that came before this failure was known was no request to pay again.
        return replace(updated, max_tries=max_tries)
    return updated


def after_not_found(record: LedgerRecord, *, now: float) -> tuple[RemoteState, LedgerRecord]:
    """Accept that a generation is gone only if two reads, minutes apart, agree: a single one may be a glitch.

    :param now: seconds since the epoch.
    """
    if now - (record.submitted_at or 0.0) < NOT_FOUND_GRACE:
        return None, record
    since = now if record.missing_since is None else record.missing_since
    is_gone = now - since >= CONFIRMATION_SECONDS
    return (RemoteNotFound() if is_gone else None), replace(record, missing_since=since)


@dataclass(frozen=True, slots=True)
class RemoteReader:
    """Read the generation of a submitted record from EvoLink, which is free, and record what it reports.

    :param ledger: of the task instance.
    :param read: reads a generation by id.
    :param log: receives warnings.
    """

    ledger: Ledger
    read: Callable[[str], Generation]
    log: Any

    def refresh(self, known: LedgerRecord | None, max_tries: int) -> tuple[RemoteState, LedgerRecord | None]:
        """Read what became of the generation that an earlier try submitted, if there is one.

        :param known: what the ledger holds.
        :param max_tries: Airflow's current ``max_tries``.
        :return: EvoLink's report, and what the ledger holds now.
        :raises LedgerError: the ledger could not be updated. Nothing may be sent then.
        """
        if known is None or known.phase is not Phase.SUBMITTED or known.generation_id is None:
            return None, known
        try:
            generation = self.read(known.generation_id)
        except GenerationNotFoundError as error:
            self.log.warning("%s", error)
            return self._not_found(known)
        except EvoLinkError as error:
            self.log.warning("%s", error)
            return None, known
        record = after_report(known, generation, max_tries)
        if record.phase is Phase.FAILED:
            code = record.error_code or "no code"
            self.log.warning("Generation %s ended as %s at EvoLink (%s).", generation.id, generation.status, code)
        return generation, self._record(known, record)

    def _not_found(self, known: LedgerRecord) -> tuple[RemoteState, LedgerRecord]:
        remote, record = after_not_found(known, now=time.time())
        return remote, self._record(known, record)

    def _record(self, known: LedgerRecord, record: LedgerRecord) -> LedgerRecord:
        return known if record == known else self.ledger.write(record)
