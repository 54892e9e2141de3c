# SPDX-License-Identifier: Apache-2.0
"""What the operators and the sensor share: wait for a generation, in the triggerer or on the worker, and finalize it.

Both ways of waiting run the same poller. When the wait ends, for whatever reason, a worker reads the generation once
more: the event may be out of date, and links do not travel through Airflow's database. A generation that is paid for is
never given up because of a single read: see :mod:`~airflow_provider_evolink.polling.confirmed_read`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_evolink.api.errors import ConfigurationError, EvoLinkError, InvalidInputError
from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.api.results import has_results
from airflow_provider_evolink.compat import BaseOperator, TaskDeferralError, TaskDeferralTimeout, outer_task
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook, async_settings
from airflow_provider_evolink.links.evolink import RESULT_LINK_KEY, EvoLinkResultLink
from airflow_provider_evolink.operators import limits
from airflow_provider_evolink.operators.pending import KeepWaiting, PendingGeneration
from airflow_provider_evolink.operators.reports import cannot_wait, read_refused
from airflow_provider_evolink.polling.confirmed_read import Refused, Unanswered, describe_error, read_until_confirmed
from airflow_provider_evolink.polling.events import parse_event
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch, deferral_seconds
from airflow_provider_evolink.result import build_record, failure_error, result_missing, unfinished_error

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

# XCom key of the generation's id.
GENERATION_ID_KEY = "generation_id"
# Seconds before a wait on the worker polls again, if the end that its last poll reported was not confirmed.
_PAUSE_SECONDS = 5.0


class EvoLinkBaseOperator(BaseOperator):
    """Base of every operator that waits for a generation.

    :param evolink_conn_id: connection of type ``evolink``.
    :param deferrable: wait in the triggerer, which holds no worker slot. An operator that is executed by hand inside
        another task waits on the worker nevertheless, and so does one whose trigger has failed.
    :param timeout: seconds (or a ``timedelta``) from the submission, over all tries, after which the task stops
        waiting; ``None`` = ``[evolink] default_timeout``, 30 minutes by default. The generation itself keeps running:
        EvoLink has no way to cancel it.
    :param poll_interval: seconds between two polls, at least 1; ``None`` = ``[evolink] poll_interval`` or, if that is
        not set either, adaptive: learned from the model's earlier generations and EvoLink's estimate.
    """

    operator_extra_links = (EvoLinkResultLink(),)
    _may_submit = True

    def __init__(
        self,
        *,
        evolink_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = True,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evolink_conn_id = evolink_conn_id
        self.deferrable = deferrable
        self.timeout: Any = timeout
        self.poll_interval = poll_interval

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, failing_since: float | None = None
    ) -> dict[str, Any]:
        """Finish on a worker after the trigger's event.

        :param context: of this try.
        :param event: of the trigger.
        :param failing_since: since when workers have failed to read the generation, in seconds since the epoch;
            ``None`` = they have not.
        """
        with airflow_errors():
            stop = parse_event(event)
            outcome = self._finalize(context, self._pending(context, event), stop, failing_since)
            if not isinstance(outcome, KeepWaiting):
                return outcome
            if stop.outcome is Outcome.NO_CONNECTION:
                # A new trigger would not find the connection either.
                return self._wait_on_worker(context, outcome.pending)
            return self._wait(context, outcome.pending, outcome.failing_since)

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> dict[str, Any]:
        """Resume even without an event: a dead triggerer or a failed trigger must not lose the result."""
        try:
            resumed: dict[str, Any] = super().resume_execution(next_method, next_kwargs, context)
            return resumed
        except TaskDeferralTimeout as error:
            self.log.warning("The deferral ended without an event (%s). Reading the generation once more.", error)
            return self.execute_complete(context, {"outcome": Outcome.DEADLINE.value})
        except TaskDeferralError as error:
            return self._resume_without_trigger(context, error)

    def _resume_without_trigger(self, context: Context, error: TaskDeferralError) -> dict[str, Any]:
        """Resume in this process after the trigger has failed: a new one might fail the same way, over and over."""
        with airflow_errors():
            pending = self._pending(context, None)
            self.log.warning(
                "The trigger failed (%s). This worker reads generation %s and, if it has not ended, waits for it.",
                error,
                pending.generation_id,
            )
            outcome = self._finalize(context, pending, StopPolling(Outcome.DEADLINE), None)
            return self._wait_on_worker(context, outcome.pending) if isinstance(outcome, KeepWaiting) else outcome

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:
        """Return the generation to wait for, after a resume."""
        raise NotImplementedError

    def _record_end(
        self, context: Context, pending: PendingGeneration, generation: Generation, record: dict[str, Any] | None
    ) -> None:
        """Record that the generation has ended; ``record`` is ``None`` if it has no result."""

    def _record_refusal(self, context: Context, refused: Refused) -> None:
        """Record that EvoLink has refused, for minutes, to return the generation."""

    def _watch(self, pending: PendingGeneration) -> Watch:
        """Combine the limits, since Airflow ignores ``execution_timeout`` while a task is deferred.

        :raises InvalidInputError: one of them is invalid; the error names the argument or the option.
        """
        timeout = limits.wait_seconds(self.timeout, self.execution_timeout)
        submitted_at = pending.origin.submitted_at
        return Watch(
            generation_id=pending.generation_id,
            submitted_at=submitted_at,
            deadline=(submitted_at if pending.since is None else pending.since) + timeout,
            poll_interval=limits.poll_interval(self.poll_interval),
            estimated_time=pending.estimated_time,
            unreachable_timeout=limits.unreachable_timeout(),
            model=pending.origin.model,
        )

    def _trigger(self, pending: PendingGeneration) -> EvoLinkGenerationTrigger:
        from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

        cost = pending.origin.credits_reserved
        return EvoLinkGenerationTrigger.for_watch(self._watch(pending), self.evolink_conn_id, credits_reserved=cost)

    def _may_defer(self, context: Context) -> bool:
        """Return whether this task can be resumed, which it can't if another task executes this operator by hand."""
        return self.deferrable and outer_task(self, context) is None

    def _wait(self, context: Context, pending: PendingGeneration, failing_since: float | None = None) -> dict[str, Any]:
        """Wait, in the triggerer if possible, and return the record."""
        # The link on the task's page would otherwise lead to the result of an earlier try.
        context["ti"].xcom_push(key=RESULT_LINK_KEY, value="")
        if self._may_defer(context):
            self._defer(pending, failing_since)
        return self._wait_on_worker(context, pending)

    def _defer(self, pending: PendingGeneration, failing_since: float | None) -> NoReturn:
        with self._naming_paid_generation(pending):
            watch, trigger = self._watch(pending), self._trigger(pending)
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs=None if failing_since is None else {"failing_since": failing_since},
            timeout=timedelta(seconds=deferral_seconds(watch, now=time.time())),
        )

    def _wait_on_worker(self, context: Context, pending: PendingGeneration) -> dict[str, Any]:
        if self.deferrable and (outer := outer_task(self, context)):
            self.log.warning("Waiting on the worker, since the task %s, which runs this one, can't resume it.", outer)
        while True:
            with self._naming_paid_generation(pending):
                stop = self._poll_on_worker(self._watch(pending))
            outcome = self._finalize(context, pending, stop, None)
            if not isinstance(outcome, KeepWaiting):
                return outcome
            pending = outcome.pending
            time.sleep(_PAUSE_SECONDS)

    def _poll_on_worker(self, watch: Watch) -> StopPolling:
        from airflow_provider_evolink.api.client import run
        from airflow_provider_evolink.polling.poller import Poller

        def on_progress(message: str) -> None:
            self.log.info("Generation %s: %s.", watch.generation_id, message)

        async def wait() -> StopPolling:
            return await Poller(lambda: async_settings(self.evolink_conn_id)).wait(watch, on_progress)

        return run(wait)

    def _finalize(
        self, context: Context, pending: PendingGeneration, stop: StopPolling, failing_since: float | None
    ) -> dict[str, Any] | KeepWaiting:
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
        if stop.outcome is Outcome.UNREACHABLE or time.time() - since >= watch.unreachable_timeout:
            last = StopPolling(Outcome.UNREACHABLE, stop.status, stop.detail or reason)
            raise self._unfinished(last, pending, unanswered.error.retry_after) from None
        self.log.warning("Generation %s can't be read (%s). The wait continues.", pending.generation_id, reason)
        return KeepWaiting(pending, since)

    def _read(self, pending: PendingGeneration, timeout: float) -> Generation | Refused | Unanswered:
        """Read the generation until a response can be believed.

        :param timeout: seconds for which reads may fail with a transient error.
        """

        def read() -> Generation:
            # A hook of its own for each read: the connection may be fixed while reads fail.
            return EvoLinkHook(self.evolink_conn_id).get_generation(pending.generation_id)

        return read_until_confirmed(read, timeout=timeout, log=self.log)

    def _refusal_error(self, refused: Refused, pending: PendingGeneration) -> EvoLinkError:
        return read_refused(refused, pending, may_submit=self._may_submit)

    @contextmanager
    def _naming_paid_generation(self, pending: PendingGeneration) -> Iterator[None]:
        """Name the paid generation in the error of a setting that was broken after the payment."""
        try:
            yield
        except (InvalidInputError, ConfigurationError) as error:
            raise cannot_wait(error, pending, conn_id=self.evolink_conn_id) from None

    def _updated(self, context: Context, pending: PendingGeneration, generation: Generation) -> PendingGeneration:  # noqa: ARG002
        """Return what is known after a read."""
        return pending

    def _complete(self, context: Context, pending: PendingGeneration, generation: Generation) -> dict[str, Any]:
        cost = pending.origin.credits_reserved
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

    def _publish_result(self, context: Context, record: Mapping[str, Any]) -> None:
        links, used = record["results"], record["usage"]["credits_used"]
        context["ti"].xcom_push(key=RESULT_LINK_KEY, value=links[0] if links else "")
        self.log.info(
            "Generation %s is %s: %d result(s), %s credits used.%s",
            record["generation_id"],
            record["status"],
            len(links),
            "unknown" if used is None else f"{used:g}",
            f" Its links expire at {record['expires_at']}." if links else "",
        )

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
