# SPDX-License-Identifier: Apache-2.0
"""Wait for a generation on the worker, and turn its end into a record or an error.

When a wait ends, for whatever reason, the generation is read once more: the report may be out of date, and links do not
travel through Airflow's database. A generation that is paid for is never given up because of a single read: see
:mod:`~airflow_provider_evolink.polling.confirmed_read`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.errors import ConfigurationError, EvoLinkError, InvalidInputError
from airflow_provider_evolink.api.event_loop import in_daemon_thread
from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.api.generation_facts import facts_of_generation
from airflow_provider_evolink.api.results import has_results
from airflow_provider_evolink.execution import limits
from airflow_provider_evolink.execution.cost_line import cost_of
from airflow_provider_evolink.execution.pending import KeepWaiting, PendingGeneration
from airflow_provider_evolink.execution.reports import cannot_wait, read_refused
from airflow_provider_evolink.polling.confirmed_read import Refused, Unanswered, describe_error, read_until_confirmed
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.result import build_record, failure_error, result_line, result_missing, unfinished_error

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.types import GenerationRecord

# Seconds before a wait on the worker polls again, if the end that its last poll reported was not confirmed.
PAUSE_SECONDS = 5.0


class GenerationWait:
    """Base of everything that waits for a generation.

    :ivar evolink_conn_id: connection of the account.
    :ivar timeout: seconds (or a ``timedelta``) from the submission, or from where the wait counts, to its deadline.
    :ivar poll_interval: seconds between two polls; ``None`` = adaptive.
    :ivar execution_timeout: Airflow's own limit, where it has to be watched here.
    :ivar log: receives progress and warnings.
    """

    evolink_conn_id: str
    timeout: Any
    poll_interval: float | None
    execution_timeout: timedelta | None
    log: Any
    _may_submit = True
    _latest: Generation | None = None

    def _known(self) -> ErrorFacts:
        """Return what is known about the generation, for the errors of this wait."""
        of_generation = ErrorFacts() if self._latest is None else facts_of_generation(self._latest)
        return replace(of_generation, conn_id=str(self.evolink_conn_id))

    def _read_once(self, generation_id: str) -> Generation:
        """Read a generation with the connection as it is now, which may be fixed while reads fail."""
        raise NotImplementedError

    async def _look_up(self) -> Settings:
        """Look up the connection."""
        raise NotImplementedError

    def _may_defer(self, context: Context) -> bool:  # noqa: ARG002
        """Return whether the wait can go on in the triggerer."""
        return False

    def _record_end(
        self, context: Context, pending: PendingGeneration, generation: Generation, record: GenerationRecord | None
    ) -> None:
        """Record that the generation has ended; ``record`` is ``None`` if it has no result."""

    def _record_refusal(self, context: Context, refused: Refused) -> None:
        """Record that EvoLink has refused, for minutes, to return the generation."""

    def _watch(self, pending: PendingGeneration) -> Watch:
        """Combine the limits, since Airflow ignores ``execution_timeout`` while a task is deferred.

        :raises InvalidInputError: one of them is invalid; the error names the argument or the option.
        """
        return Watch(
            generation_id=pending.generation_id,
            submitted_at=pending.origin.submitted_at,
            deadline=self._deadline(pending),
            poll_interval=limits.poll_interval(self.poll_interval),
            estimated_time=pending.estimated_time,
            unreachable_timeout=limits.unreachable_timeout(),
            model=pending.origin.model,
        )

    def _deadline(self, pending: PendingGeneration) -> float:
        timeout = limits.wait_seconds(self.timeout, self.execution_timeout)
        return (pending.origin.submitted_at if pending.since is None else pending.since) + timeout

    def _last_read_at(self, pending: PendingGeneration) -> float:  # noqa: ARG002
        """Return when reads that fail end, whatever they show: never, for what this task may have paid for."""
        return math.inf

    def _wait_on_worker(self, context: Context, pending: PendingGeneration) -> GenerationRecord:
        """Wait to the end in this process, and return the record."""
        while True:
            with self._naming_paid_generation(pending):
                stop = self._poll_on_worker(self._watch(pending))
            outcome = self._finalize(context, pending, stop, None)
            if not isinstance(outcome, KeepWaiting):
                return outcome
            pending = outcome.pending
            time.sleep(PAUSE_SECONDS)

    async def _wait_in_event_loop(self, context: Context, pending: PendingGeneration) -> GenerationRecord:
        """Do the same without blocking the event loop."""
        while True:
            with self._naming_paid_generation(pending):
                stop = await self._poll(self._watch(pending))
            outcome = await in_daemon_thread(partial(self._finalize, context, pending, stop, None))
            if not isinstance(outcome, KeepWaiting):
                return outcome
            pending = outcome.pending
            await asyncio.sleep(PAUSE_SECONDS)

    def _poll_on_worker(self, watch: Watch) -> StopPolling:
        from airflow_provider_evolink.api.client import run

        return run(lambda: self._poll(watch))

    async def _poll(self, watch: Watch) -> StopPolling:
        """Poll until the wait ends; all waits of an event loop share its poller."""
        from airflow_provider_evolink.polling.poller import shared_poller

        def on_progress(message: str) -> None:
            self.log.info("Generation %s: %s.", watch.generation_id, message)

        return await shared_poller(self.evolink_conn_id, self._look_up).wait(watch, on_progress)

    def _finalize(
        self, context: Context, pending: PendingGeneration, stop: StopPolling, failing_since: float | None
    ) -> GenerationRecord | KeepWaiting:
        """Read what became of the generation: return its record, keep waiting, or raise the task's final error."""
        with self._naming_paid_generation(pending):
            watch = self._watch(pending)
            is_in_time = time.time() < watch.deadline
            may_defer = is_in_time and self._may_defer(context)
            timeout = limits.read_timeout(watch, stop, failing_since, may_defer=may_defer, now=time.time())
            outcome = self._read(pending, timeout)
        match outcome:
            case Refused():
                self._record_refusal(context, outcome)
                raise self._refusal_error(outcome, pending)
            case Unanswered():
                return self._keep_waiting_or_fail(pending, watch, stop, outcome, failing_since)
        pending = self._updated(context, pending, outcome)
        if outcome.is_terminal:
            return self._complete(context, pending, outcome)
        if is_in_time:
            # It was reported as ended, unknown or unreachable, and is not.
            return KeepWaiting(pending)
        raise self._unfinished(StopPolling(Outcome.DEADLINE, outcome.status), pending)

    def _keep_waiting_or_fail(
        self,
        pending: PendingGeneration,
        watch: Watch,
        stop: StopPolling,
        unanswered: Unanswered,
        failing_since: float | None,
    ) -> KeepWaiting:
        reason = describe_error(unanswered.error)
        since = unanswered.since if failing_since is None else failing_since
        now = time.time()
        is_outage = stop.outcome is Outcome.UNREACHABLE or now - since >= watch.unreachable_timeout
        if is_outage or now >= self._last_read_at(pending):
            outcome = Outcome.UNREACHABLE if is_outage else Outcome.UNREAD
            last = StopPolling(outcome, stop.status, reason)
            raise self._unfinished(last, pending, unanswered.error.retry_after) from None
        self.log.warning("Generation %s can't be read (%s). The wait continues.", pending.generation_id, reason)
        return KeepWaiting(pending, since)

    def _read(self, pending: PendingGeneration, timeout: float) -> Generation | Refused | Unanswered:
        """Read the generation until a response can be believed.

        :param timeout: seconds for which reads may fail with a transient error.
        """
        outcome = read_until_confirmed(
            lambda: self._read_once(pending.generation_id),
            timeout=timeout,
            log=self.log,
            deadline=self._last_read_at(pending),
        )
        if isinstance(outcome, Generation):
            self._latest = outcome
        return outcome

    def _refusal_error(self, refused: Refused, pending: PendingGeneration) -> EvoLinkError:
        return read_refused(refused, pending, may_submit=self._may_submit)

    @contextmanager
    def _naming_paid_generation(self, pending: PendingGeneration) -> Iterator[None]:
        """Name the paid generation in the error of a setting that was broken after the payment."""
        try:
            yield
        except (InvalidInputError, ConfigurationError) as error:
            raise cannot_wait(error, pending, conn_id=self.evolink_conn_id, may_submit=self._may_submit) from None

    def _updated(self, context: Context, pending: PendingGeneration, generation: Generation) -> PendingGeneration:  # noqa: ARG002
        """Return what is known after a read."""
        return pending

    def _complete(self, context: Context, pending: PendingGeneration, generation: Generation) -> GenerationRecord:
        self._latest, cost = generation, pending.origin.credits_reserved
        if generation.status != COMPLETED:
            self._record_end(context, pending, generation, None)
            raise failure_error(generation, cost=cost, may_submit=self._may_submit)
        if not has_results(generation, pending.origin.model):
            # Nothing is recorded, so that a retry reads it again.
            raise result_missing(generation, cost=cost, conn_id=self.evolink_conn_id, may_submit=self._may_submit)
        record = build_record(generation, pending.origin, now=time.time())
        self._record_end(context, pending, generation, record)
        self._publish_result(context, record)
        return record

    def _publish_result(self, context: Context, record: GenerationRecord) -> None:  # noqa: ARG002
        """Report the result, in the log at least."""
        self.log.info("%s", result_line(record))
        self._log_cost(record)

    def _log_cost(self, record: GenerationRecord) -> None:
        self.log.info("%s", cost_of([record]))

    def _unfinished(
        self, stop: StopPolling, pending: PendingGeneration, retry_after: float | None = None
    ) -> EvoLinkError:
        return unfinished_error(
            stop,
            pending.generation_id,
            pending.origin,
            conn_id=self.evolink_conn_id,
            may_submit=self._may_submit,
            retry_after=retry_after,
            now=time.time(),
        )
