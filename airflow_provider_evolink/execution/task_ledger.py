# SPDX-License-Identifier: Apache-2.0
"""What a task records in its ledger after the submission, and reads back when it resumes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_evolink.api.errors import ConfigurationError, LedgerError
from airflow_provider_evolink.api.generation import is_generation_id
from airflow_provider_evolink.execution.pending import PendingGeneration
from airflow_provider_evolink.execution.reports import expired_links
from airflow_provider_evolink.result import Origin, links_expired
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.remote_state import as_failed

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.submission.ledger import Ledger
    from airflow_provider_evolink.types import GenerationRecord


def read_submitted(ledger: Ledger, generation_id: object, *, model: str) -> LedgerRecord:
    """Return the record of a generation that was submitted.

    :param generation_id: as the trigger's event has it; needed if the ledger could not be written at the submission.
    :param model: of the task, for the same case.
    :raises LedgerError: it can't be read, or lacks the generation.
    """
    record = ledger.read()
    if record is not None and record.generation_id is not None:
        return record
    if not isinstance(generation_id, str) or not is_generation_id(generation_id):
        raise LedgerError(
            "The ledger lacks the generation that this task was waiting for, which stays paid for; its id is in the "
            "task's log. A retry continues from what the ledger holds, and pays for a new one if it holds nothing."
        )
    # The ledger could not be written when the generation was submitted, or has been emptied since.
    intent = record or LedgerRecord(Phase.INTENT, "lost", "lost", 1, model, time.time())
    return replace(intent, phase=Phase.SUBMITTED, generation_id=generation_id, submitted_at=intent.intent_at)


def pending_generation(record: LedgerRecord, try_number: int) -> PendingGeneration:
    """Return the generation of a record, to wait for it.

    :param try_number: of this try.
    :raises ConfigurationError: the record has no generation.
    """
    if record.generation_id is None or record.submitted_at is None:
        raise ConfigurationError(
            "The task's ledger does not have the id and the time of the generation that it records as submitted, so "
            "this try sent nothing, and a retry finds the same. The id is in the task's log."
        )
    origin = Origin(
        submitted_at=record.submitted_at,
        model=record.model,
        credits_reserved=record.credits_reserved,
        billing_rule=record.billing_rule,
        replay=record.replay,
        reattached=try_number > record.try_number,
        try_number=try_number,
    )
    return PendingGeneration(record.generation_id, origin, record.estimated_time)


def record_end(
    ledger: Ledger, record: LedgerRecord, generation: Generation, result: GenerationRecord | None, *, max_tries: int
) -> LedgerRecord:
    """Record that the generation has ended; the returned record is durable.

    :param result: ``None`` if it has none.
    :param max_tries: Airflow's current one. If the ledger could not be written when this try began, it still holds the
        one from before a clear, and the next retry would take that clear for a new one.
    :raises LedgerError: it can't be written.
    """
    record = replace(record, max_tries=max_tries)
    ended = as_failed(record, generation) if result is None else _finished(record, dict(result))
    try:
        return ledger.write(ended)
    except LedgerError as error:
        raise LedgerError(
            f"Generation {generation.id} ended as {generation.status}, but that could not be recorded. {error}",
            generation_id=generation.id,
        ) from error


def _finished(record: LedgerRecord, result: dict[str, Any]) -> LedgerRecord:
    return replace(record, phase=Phase.FINISHED, result=result, media_links=None, media_expire_at=None)


def record_early_finish(ledger: Ledger, record: LedgerRecord, log: Any) -> None:
    """Record that the task succeeds without waiting, so that a later clear counts as that of a finished task."""
    consequence = 'A clear with on_clear="resubmit" will resume this generation instead of paying for a new one.'
    _try_to_write(ledger, replace(record, finished_without_waiting=True), log, consequence)


def record_landing(ledger: Ledger, record: LedgerRecord, result: GenerationRecord, log: Any) -> None:
    """Record that the results have landed, so that a later clear counts as that of a finished task."""
    consequence = 'The next clear with on_clear="resubmit" will return this generation instead of paying for a new one.'
    _try_to_write(ledger, replace(record, result=dict(result)), log, consequence)


def record_missing(ledger: Ledger, record: LedgerRecord, *, since: float, log: Any) -> None:
    """Record since when EvoLink has not known the generation, so that the next try need not confirm it again."""
    _try_to_write(ledger, replace(record, missing_since=since), log, "The next try looks for the generation again.")


def reused_result(result: Mapping[str, Any], try_number: int, log: Any, *, lands: bool) -> GenerationRecord:
    """Return the recorded result of an earlier submission.

    :param try_number: of this try.
    :param log: receives a warning if its links have expired.
    :param lands: whether the task lands the results now.
    """
    log.info("Reusing the result of an earlier, already paid submission.")
    if links_expired(result, now=time.time()):
        log.warning("%s", expired_links(result["expires_at"], lands=lands))
    return cast("GenerationRecord", {**result, "reattached": True, "try_number": try_number})


def _try_to_write(ledger: Ledger, record: LedgerRecord, log: Any, consequence: str) -> None:
    try:
        ledger.write(record)
    except LedgerError as error:
        log.warning("%s %s", error, consequence)
