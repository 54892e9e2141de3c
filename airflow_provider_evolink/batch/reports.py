# SPDX-License-Identifier: Apache-2.0
"""Decide what EvoLink's report about a generation makes of its row. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_evolink.api.errors import EvoLinkError, GenerationNotFoundError
from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.api.results import has_results
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.polling.confirmed_read import describe_error
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.result import Origin, failure_error, result_missing, unfinished_error
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.remote_state import RemoteNotFound, after_not_found, after_report
from airflow_provider_evolink.submission.reports import generation_lost

Report = Generation | EvoLinkError


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What the meaning of a report depends on.

    :param watch: returns how long a submission is waited for.
    :param conn_id: connection of the task.
    :param try_number: of this try.
    :param max_tries: Airflow's current one.
    :param now: seconds since the epoch.
    """

    watch: Callable[[LedgerRecord], Watch]
    conn_id: str
    try_number: int
    max_tries: int
    now: float


def after_read(entry: RowEntry, report: Report, context: ReportContext) -> RowEntry:
    """Return the entry of a row that is under way, after a read.

    :return: with a problem if it has failed, is lost, or has not ended in time. It is ready to be landed if
        :func:`is_ready` says so.
    """
    record = _submitted(entry)
    if isinstance(report, Generation):
        return _after_generation(entry, record, report, context)
    if isinstance(report, GenerationNotFoundError):
        remote, record = after_not_found(record, now=context.now)
        entry = replace(entry, record=record)
        if isinstance(remote, RemoteNotFound):
            return replace(entry, problem=Problem.of(generation_lost(record), context.try_number))
    return _unless_late(entry, record, StopPolling(Outcome.DEADLINE, None, describe_error(report)), context)


def is_ready(entry: RowEntry, report: Report) -> bool:
    """Return whether a row's results can be landed."""
    is_completed = isinstance(report, Generation) and report.status == COMPLETED
    return is_completed and entry.status is Status.UNDER_WAY


def _after_generation(
    entry: RowEntry, record: LedgerRecord, generation: Generation, context: ReportContext
) -> RowEntry:
    entry = replace(entry, record=after_report(record, generation, context.max_tries))
    if not generation.is_terminal:
        return _unless_late(entry, record, StopPolling(Outcome.DEADLINE, generation.status), context)
    if entry.seconds is None:  # its end may be read again, long after, to land it again
        entry = replace(entry, seconds=round(context.now - (record.submitted_at or record.intent_at), 3))
    error: EvoLinkError
    if generation.status != COMPLETED:
        error = failure_error(generation, cost=record.credits_reserved)
        used = generation.credits_charged if generation.was_charged else None
        return replace(entry, credits_used=used, problem=Problem.of(error, context.try_number))
    entry = replace(entry, credits_used=generation.usage.credits_used)
    if has_results(generation, record.model):
        return entry
    error = result_missing(generation, cost=record.credits_reserved, conn_id=context.conn_id, may_submit=True)
    return replace(entry, problem=Problem.of(error, context.try_number))


def _unless_late(entry: RowEntry, record: LedgerRecord, stop: StopPolling, context: ReportContext) -> RowEntry:
    """Return the entry, with a problem if the wait is over."""
    if context.now < context.watch(record).deadline:
        return entry
    error = unfinished_error(
        stop,
        entry.generation_id or "unknown",
        _origin(record),
        conn_id=context.conn_id,
        may_submit=True,
        now=context.now,
    )
    return replace(entry, problem=Problem.of(error, context.try_number, Status.UNFINISHED))


def _origin(record: LedgerRecord) -> Origin:
    return Origin(
        submitted_at=record.submitted_at or record.intent_at,
        model=record.model,
        credits_reserved=record.credits_reserved,
        billing_rule=record.billing_rule,
    )


def _submitted(entry: RowEntry) -> LedgerRecord:
    if entry.record is None or entry.record.phase is not Phase.SUBMITTED:
        raise ValueError(f"row {entry.key!r} is not under way")
    return entry.record
