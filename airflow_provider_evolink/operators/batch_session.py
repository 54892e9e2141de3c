# SPDX-License-Identifier: Apache-2.0
"""Carry a batch on within one worker, until it is finished or has to wait."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.client import EvoLinkClient, make_concurrent_client, run
from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.known_rows import KnownRow, PlanningChecker, rows_of_ledger
from airflow_provider_evolink.batch.outcome_report import all_keys_changed, nothing_can_land, progress_line
from airflow_provider_evolink.batch.plan import Planner
from airflow_provider_evolink.batch.run import BatchRun
from airflow_provider_evolink.batch.validation import Validation, keys_digest, validate
from airflow_provider_evolink.execution.announcement import Announcement
from airflow_provider_evolink.execution.try_notes import PROGRESS_KEY, try_note
from airflow_provider_evolink.hooks.evolink import async_settings
from airflow_provider_evolink.landing.storage import check_writable
from airflow_provider_evolink.landing.storage_check import check_bucket
from airflow_provider_evolink.lineage.run import RunLineage
from airflow_provider_evolink.media.uploader import Uploader
from airflow_provider_evolink.operators.batch_conclusion import BatchConclusion
from airflow_provider_evolink.operators.batch_parts import BatchParts
from airflow_provider_evolink.polling.crowd import REPORT_INTERVAL_SECONDS, wait_for_enough
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.poller import Poller
from airflow_provider_evolink.polling.wake_rule import WakeRule

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.types import BatchSummary

# How often a read that fails temporarily is sent, in total.
_ATTEMPTS = 4


class BatchSession:
    """One worker's share of a batch.

    :param parts: of the batch.
    :param context: of this try.
    :param log: of the task.
    :param outlets: of the task.
    :param lineage: receives what the batch has read, made and written.
    :param is_killed: whether the task has been killed.
    """

    def __init__(
        self,
        parts: BatchParts,
        context: Context,
        log: Any,
        *,
        outlets: Sequence[Any],
        lineage: RunLineage,
        is_killed: Callable[[], bool],
    ) -> None:
        self._parts = parts
        self._context = context
        self._log = log
        self._outlets = outlets
        self._lineage = lineage
        self._is_killed = is_killed
        self.cursor = Cursor("", time.time())
        self.watches: list[Watch] = []
        self.wake_rule = WakeRule(1)
        self._next_report = 0.0
        self._batch: BatchRun | None = None
        self._conclusion: BatchConclusion | None = None

    @property
    def manifest_link(self) -> str:
        """URI of the manifest; empty until it is written."""
        return "" if self._conclusion is None else self._conclusion.manifest_link

    def run(self, stored_cursor: object, *, may_defer: bool) -> BatchSummary | None:
        """Carry the batch on.

        :param stored_cursor: where an earlier worker of this try left it; ``None`` = this is the first.
        :param may_defer: whether to return instead of waiting.
        :return: the summary; ``None`` if it has to wait for :attr:`watches`.
        :raises EvoLinkError: rows have failed, or something concerns all of them.
        """
        planner = self._start(stored_cursor)

        async def carry_on() -> bool:
            settings = self._parts.hook.settings
            async with (
                make_concurrent_client(settings, attempts=_ATTEMPTS) as client,
                # Only httpx sends files.
                EvoLinkClient(settings, attempts=_ATTEMPTS) as files_client,
            ):
                return await self._carry_on(client, Uploader.of(files_client), planner, may_defer=may_defer)

        if not run(carry_on):
            return None
        announcement = Announcement(self._outlets, self._context, self._parts.hook)
        self._conclusion = BatchConclusion(
            self._parts, self.cursor, announcement, self._lineage, self._context["ti"], self._log
        )
        return self._conclusion.conclude()

    def describe(self) -> str:
        """Return a line on how far the batch is."""
        return progress_line(self.cursor, now=time.time())

    def known(self) -> ErrorFacts:
        """Return what the rows have cost; all unknown until the ledger was read."""
        is_counted = self._batch is not None and self._batch.planner is None
        return self.cursor.tally.facts() if is_counted else ErrorFacts()

    def _start(self, stored_cursor: object) -> Callable[[BatchRun], Planner] | None:
        """Take up the cursor, or check all rows and plan anew; return what makes the plan, if there has to be one."""
        cursor, parts = Cursor.from_json(stored_cursor), self._parts
        if cursor is not None and not cursor.needs_plan:
            digest, _ = keys_digest(parts.table)
            # Another worker of this try may have gone on from here, and died.
            if digest == cursor.keys_digest and parts.ledger.ends_with(cursor.last_chunk, cursor.last_chunk_rows):
                self.cursor = cursor
                return None
            self._log.warning("The table or the ledger has changed since this try deferred. Checking all rows again.")
        known, paid = rows_of_ledger(parts.ledger)
        checker = PlanningChecker(parts.checked_requests.check, parts.name, parts.options, known, paid)
        found = validate(parts.table, checker, on_invalid=parts.arguments.on_invalid)
        if paid and found.total and not checker.in_table and parts.options.policy.on_changed_input == "fail":
            raise all_keys_changed(len(paid), found.total)
        self._check_destination(len(paid), found.total)
        self._log_findings(found)
        self.cursor = Cursor(found.keys_digest, time.time(), known_until=checker.known_until)
        self.cursor.tally.total = found.total
        return functools.partial(self._planner, {key: known[key] for key in checker.in_table})

    def _check_destination(self, paid: int, total: int) -> None:
        """Refuse a destination that nothing could land in, before anything more is paid for.

        What is paid for goes on even if an object storage is down: it says so itself when the first row is to land.
        """
        try:
            check_writable(self._parts.target)
            if total and not paid:
                check_bucket(self._parts.target)
        except LandingError as error:
            raise nothing_can_land(error, paid) from error

    def _planner(self, known: dict[str, KnownRow], batch: BatchRun) -> Planner:
        batch.window.waves.known = known
        parts = self._parts
        return Planner(parts.options, parts.ledger, batch.statuses, batch.lander, self.cursor, self._log, known)

    def _log_findings(self, found: Validation) -> None:
        for warning in found.warnings:
            self._log.warning("%s", warning)
        if unsent := self._parts.requests.unsent:
            self._log.info(
                "Fields that name no parameter of the rows' models, and are not sent: %s.", ", ".join(unsent)
            )
        if not found.total:
            self._log.warning("The table has no rows. Nothing to do.")
        if found.bad_count:
            others = found.bad_count - len(found.bad)
            lines = [*map(str, found.bad), *([f"and {counted(others, 'other')}"] if others else [])]
            self._log.warning("Invalid, and skipped: %s.\n%s", counted(found.bad_count, "row"), "\n".join(lines))

    async def _carry_on(
        self,
        client: EvoLinkClient,
        uploader: Uploader,
        planner: Callable[[BatchRun], Planner] | None,
        *,
        may_defer: bool,
    ) -> bool:
        """Work until the batch is finished or has to wait in the triggerer; return whether it is finished."""
        batch = self._parts.batch_run(client, uploader, self.cursor, self._is_killed)
        batch.planner = None if planner is None else planner(batch)
        self._batch = batch
        poller = Poller(lambda: async_settings(self._parts.options.conn_id))
        while True:
            await batch.work()
            if batch.is_finished or self._is_killed():
                return True
            self.watches, self.wake_rule = batch.watches(), batch.wake_rule()
            if may_defer:
                self._log.info("%s.", self.describe())
                self._keep_progress()
                return False
            self._report_progress(self.describe())
            await wait_for_enough(poller, self.watches, self.wake_rule, self._report_progress)

    def _report_progress(self, message: str) -> None:
        """Log a line unless the last one is less than a minute old: a small window goes on many times a minute."""
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL_SECONDS
            self._log.info("%s.", message)
            self._keep_progress()

    def _keep_progress(self) -> None:
        """Leave for the tabs in Airflow's UI how far the batch is."""
        ti = self._context["ti"]
        try:
            ti.xcom_push(key=PROGRESS_KEY, value=dict(try_note(self.describe(), ti.try_number)))
        except Exception as error:
            self._log.debug("How far the batch is could not be kept for the tabs (%r).", error)
