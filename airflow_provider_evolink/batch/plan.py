# SPDX-License-Identifier: Apache-2.0
"""Work out, at the start of a try, what the ledger says about the rows of the table, and what each of them needs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_evolink.api.errors import GenerationNotFoundError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.known_rows import KnownRow
from airflow_provider_evolink.batch.landing import RowLander
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.batch.reports import Report
from airflow_provider_evolink.batch.statuses import StatusReader
from airflow_provider_evolink.submission.decision import (
    Decision,
    Refuse,
    Replay,
    Submit,
    decide,
)
from airflow_provider_evolink.submission.record import LedgerRecord, Phase, digest_api_key
from airflow_provider_evolink.submission.remote_state import RemoteState, after_not_found, after_report


@dataclass
class Planner:
    """Decide for each row of the ledger what this try does with it.

    :param known: the rows that both the ledger and the table have, by key.
    :param to_send: what is to be submitted, or sent again, by key.
    :param reports: what EvoLink has reported about the generations that are waited for, by id.
    """

    options: BatchOptions
    ledger: BatchLedger
    statuses: StatusReader
    lander: RowLander
    cursor: Cursor
    log: Any
    known: Mapping[str, KnownRow]
    to_send: dict[str, Submit | Replay] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    _removed: list[RowEntry] = field(default_factory=list)
    _abandoned: Counter[str] = field(default_factory=Counter)

    async def plan(self) -> list[Chunk]:
        """Go through the ledger.

        :return: the chunks with rows under way.
        :raises LedgerError: it could not be read or updated. Nothing may be sent then.
        """
        open_chunks = []
        for chunk in self.ledger.chunks():
            before = dict(chunk.rows)
            self._count(chunk)
            submitted = list(chunk.rows.values())
            await self._plan_chunk(chunk)
            for entry in submitted:
                self._note_doubt(entry)
            if chunk.rows != before:
                self.ledger.write(chunk)
            if any(entry.status is Status.UNDER_WAY for entry in chunk.rows.values()):
                open_chunks.append(chunk)
            self.cursor.last_chunk, self.cursor.last_chunk_rows = chunk.number, len(chunk.rows)
        self._expect_cost_of_abandoned()
        self.cursor.landed_before = self.cursor.tally.counts[Status.LANDED]
        self._report_removed()
        self._report_paid_again()
        self._report_taken_up()
        return open_chunks

    def _count(self, chunk: Chunk) -> None:
        chunk.rows = {key: entry for key, entry in chunk.rows.items() if self._is_latest(key, chunk)}
        chunk.tally = self.cursor.tally
        for entry in chunk.rows.values():
            chunk.tally.add(entry)
        for key, entry in list(chunk.rows.items()):
            row = self.known.get(key)
            if row is None:
                self._removed.append(entry)
                chunk.put(replace(entry, removed=True))
            else:
                chunk.put(replace(entry, removed=False, price_class=_price_class(entry, row)))
        for entry in chunk.rows.values():
            self._learn_price(entry)

    def _is_latest(self, key: str, chunk: Chunk) -> bool:
        return key not in self.known or self.known[key].chunk == chunk.number

    def _learn_price(self, entry: RowEntry) -> None:
        record = entry.record
        if record is not None and record.credits_reserved is not None:
            known = self.cursor.prices.get(entry.price_class, 0.0)
            self.cursor.prices[entry.price_class] = max(known, record.credits_reserved)

    def _note_doubt(self, entry: RowEntry) -> None:
        """Count what an open submission may have cost: this try finds out if it sends it again, or has just done so."""
        if _key_in_doubt(entry) is None:
            return
        is_resolved = isinstance(self.to_send.get(entry.key), Replay) or self._was_decided(entry)
        (self.cursor.pending if is_resolved else self._abandoned)[entry.price_class] += 1

    def _expect_cost_of_abandoned(self) -> None:
        """Expect the price of what will never be resolved: if its own is unknown, that of the dearest row."""
        prices = self.cursor.prices
        dearest = max(prices, key=prices.__getitem__, default=None)
        for name, count in self._abandoned.items():
            known = name if name in prices else dearest
            if known is not None:
                self.cursor.pending[known] += count

    async def _plan_chunk(self, chunk: Chunk) -> None:
        entries = [entry for entry in chunk.rows.values() if not entry.removed and not self._was_decided(entry)]
        for entry in await self.lander.missing_files([entry for entry in entries if self._is_kept(entry)]):
            self.log.warning("A file of row %r is gone; it is landed again: %s", entry.key, _uris(entry))
            chunk.put(_not_landed(entry))
        entries = [chunk.rows[entry.key] for entry in entries]
        reports = await self.statuses.read([entry.generation_id or "" for entry in entries if _is_submitted(entry)])
        for entry in entries:
            chunk.put(self._decide(entry, reports.get(entry.generation_id or "")))
        open_ids = {entry.generation_id for entry in chunk.rows.values() if entry.status is Status.UNDER_WAY}
        self.reports |= {
            generation_id: report for generation_id, report in reports.items() if generation_id in open_ids
        }

    def _is_kept(self, entry: RowEntry) -> bool:
        """Return whether a row has landed and is not to be generated anew."""
        is_replaced = self.options.policy.on_clear == "resubmit" and self._is_cleared(entry.record)
        return entry.status is Status.LANDED and not is_replaced

    def _is_cleared(self, record: LedgerRecord | None) -> bool:
        """Return whether a user has cleared the task since the submission, or since a clear was recorded."""
        return record is not None and record.max_tries not in {None, self.options.max_tries}

    def _was_decided(self, entry: RowEntry) -> bool:
        """Return whether this try has met the row's problem already, before its worker was replaced."""
        return entry.problem is not None and entry.problem.try_number == self.options.try_number

    def _decide(self, entry: RowEntry, report: Report | None) -> RowEntry:
        """Return the entry that this try begins with, and note what is to be sent for it."""
        row, known = self.known[entry.key], entry.record
        if known is None:
            self.to_send[entry.key] = Submit(1)
            return replace(entry, existing=(), problem=None)
        cleared = self._is_cleared(known)
        fingerprint = known.fingerprint if row.fingerprint is None else row.fingerprint
        problem = entry.problem
        # What EvoLink has rejected as it is, it rejects again.
        is_rejected = known.phase is Phase.WITHDRAWN and problem is not None and problem.is_permanent
        if is_rejected and not cleared and known.fingerprint == fingerprint:
            return replace(entry, problem=problem and replace(problem, try_number=self.options.try_number))
        remote, record = self._remote(known, report)
        decision = decide(
            record,
            fingerprint,
            remote,
            self.options.policy,
            cleared=cleared,
            now=time.time(),
            api_key_digest=digest_api_key(known.idempotency_key, self.options.api_key),
        )
        return self._apply(replace(entry, record=record, pattern=row.pattern or entry.pattern, existing=()), decision)

    def _remote(self, record: LedgerRecord, report: Report | None) -> tuple[RemoteState, LedgerRecord]:
        if isinstance(report, Generation):
            return report, after_report(record, report, self.options.max_tries)
        if isinstance(report, GenerationNotFoundError):
            return after_not_found(record, now=time.time())
        return None, record

    def _apply(self, entry: RowEntry, decision: Decision) -> RowEntry:
        if isinstance(decision, Refuse):
            return replace(entry, problem=Problem.of(decision.error, self.options.try_number))
        if isinstance(decision, Submit):
            self.to_send[entry.key] = decision
            return replace(entry, problem=None, is_outdated=True)
        if isinstance(decision, Replay):
            self.to_send[entry.key] = replace(
                decision, record=replace(decision.record, max_tries=self.options.max_tries)
            )
            return replace(entry, problem=None)
        # A clear counts once: it is recorded here, so that no later retry is taken for one.
        record = replace(decision.record, max_tries=self.options.max_tries)
        return replace(entry, record=record, problem=None, is_outdated=False)

    def _report_removed(self) -> None:
        if not self._removed:
            return
        paid = [f"{entry.key} ({entry.generation_id})" for entry in self._removed if entry.generation_id]
        in_doubt = [f"{entry.key} ({key})" for entry in self._removed if (key := _key_in_doubt(entry))]
        costs = [f"Paid for, {len(paid)}: {_first(paid)}."] if paid else []
        if in_doubt:
            costs.append(
                f"Sent without a response, and perhaps paid for, {len(in_doubt)}, with their idempotency keys: "
                f"{_first(in_doubt)}."
            )
        self.log.warning(
            "Left alone, since the table no longer has them: %s of earlier tries. %s",
            counted(len(self._removed), "row"),
            " ".join(costs) or "Nothing was paid for them.",
        )

    def _report_taken_up(self) -> None:
        counts = {
            "under way at EvoLink": self.cursor.tally.counts[Status.UNDER_WAY],
            "sent again under the same idempotency key": sum(
                isinstance(sent, Replay) for sent in self.to_send.values()
            ),
        }
        parts = [f"{counted(count, 'row')} {what}" for what, count in counts.items() if count]
        if parts:
            self.log.info("Taken up from earlier tries: %s.", ", ".join(parts))

    def _report_paid_again(self) -> None:
        again = [key for key, sent in self.to_send.items() if isinstance(sent, Submit) and sent.previous_ids]
        if again:
            self.log.warning("Submitted anew, and paid for again: %s. %s", counted(len(again), "row"), _first(again))


def _price_class(entry: RowEntry, row: KnownRow) -> str:
    """Return the price class of what was submitted: if the row has changed since, its own says nothing about it."""
    is_changed = entry.record is not None and row.fingerprint not in {None, entry.record.fingerprint}
    return entry.price_class if is_changed or not row.price_class else row.price_class


def _key_in_doubt(entry: RowEntry) -> str | None:
    """Return the idempotency key of a submission without a known response; ``None`` if there is none."""
    record = entry.record
    return record.idempotency_key if record is not None and record.phase is Phase.INTENT else None


def _is_submitted(entry: RowEntry) -> bool:
    return entry.record is not None and entry.record.phase is Phase.SUBMITTED


def _not_landed(entry: RowEntry) -> RowEntry:
    record = entry.record and replace(entry.record, phase=Phase.SUBMITTED)
    return replace(entry, record=record, was_landed=True)


def _uris(entry: RowEntry) -> str:
    return ", ".join(file.uri for file in entry.landed)


def _first(items: Sequence[str], limit: int = 10) -> str:
    others = f" and {len(items) - limit} others" if len(items) > limit else ""
    return ", ".join(items[:limit]) + others
