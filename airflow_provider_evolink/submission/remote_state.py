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
    )


def _failure_code(generation: Generation) -> str | None:
    """Return EvoLink's error code; a cancelled generation gets the one documented for that."""
    return "request_cancelled" if generation.status == CANCELLED else generation.error_code


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
        record = apply_remote_state(replace(known, missing_since=None), generation)
        if record.phase is Phase.FAILED:
            code = record.error_code or "no code"
            self.log.warning("Generation %s ended as %s at EvoLink (%s).", generation.id, generation.status, code)
            if not known.finished_without_waiting:
                # A clear that came before this failure was known was no request to pay again.
                record = replace(record, max_tries=max_tries)
        if record != known:
            self.ledger.write(record)
        return generation, record

    def _not_found(self, known: LedgerRecord) -> tuple[RemoteState, LedgerRecord]:
        """Accept that a generation is gone only if two reads, minutes apart, agree: a single one may be a glitch."""
        now = time.time()
        if now - (known.submitted_at or 0.0) < NOT_FOUND_GRACE:
            return None, known
        if known.missing_since is None:
            known = self.ledger.write(replace(known, missing_since=now))
        is_gone = known.missing_since is not None and now - known.missing_since >= CONFIRMATION_SECONDS
        return (RemoteNotFound() if is_gone else None), known
