# SPDX-License-Identifier: Apache-2.0
"""
What the operators and the sensor share: waiting for a generation, deferred or not, and ending with its record.

Waiting is the same in both modes: the trigger and the worker run the same poller. When it ends, whatever the reason,
a worker reads the generation once more: an event may be old, and links do not travel through Airflow's database. What
is paid for is never given up for one read: see :mod:`~airflow_provider_evolink.polling.confirmed_read`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    EvoLinkError,
    InvalidInputError,
)
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.api.results import has_results, results_expire_at
from airflow_provider_evolink.compat import BaseOperator, TaskDeferralError, TaskDeferralTimeout, outer_task
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook, async_settings
from airflow_provider_evolink.links.evolink import RESULT_LINK_KEY, EvoLinkResultLink
from airflow_provider_evolink.operators import limits
from airflow_provider_evolink.operators.reports import cannot_wait, read_refused, result_missing
from airflow_provider_evolink.polling.confirmed_read import Refused, Unanswered, describe_error, read_until_confirmed
from airflow_provider_evolink.polling.events import parse_event
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch, deferral_seconds
from airflow_provider_evolink.result import Origin, build_record, failure_error, unfinished_error

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

GENERATION_ID_KEY = "generation_id"
# How long a worker reads by itself before it hands the wait back to the triggerer and frees its slot.
_WORKER_SECONDS = 60.0
# Between two waits on a worker, should what ends them be contradicted each time.
_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PendingGeneration:
    """
    What is waited for: a generation and where it comes from.

    :param since: from when the timeout counts, in seconds since the epoch; ``None`` = from the submission.
    """

    generation_id: str
    origin: Origin
    estimated_time: float | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """
    The waiting has ended before the generation did, and has to go on.

    :param failing_since: since when EvoLink can't be asked, in seconds since the epoch; ``None`` = it can.
    """

    pending: PendingGeneration
    failing_since: float | None = None


class EvoLinkBaseOperator(BaseOperator):
    """
    Base of every operator that waits for a generation.

    :param evolink_conn_id: connection of type ``evolink``.
    :param deferrable: wait in the triggerer, holding no worker slot. An operator that another task executes by hand
        waits on the worker all the same, and so does one whose trigger has failed.
    :param timeout: seconds (or a ``timedelta``) from the submission, over all tries, after which the task stops
        waiting; ``None`` = ``[evolink] default_timeout``, 30 minutes. The generation itself goes on: EvoLink has no
        way to cancel it.
    :param poll_interval: seconds between two questions, at least 1; ``None`` = ``[evolink] poll_interval``, and where
        that is not set either, when the model's earlier generations, and EvoLink's estimate, make one worth it.
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
        """
        Finish on a worker what the trigger has seen the end of.

        :param event: the trigger's.
        :param failing_since: since when workers could not read the generation, if the last one could not.
        """
        with airflow_errors():
            stop = parse_event(event)
            ended = self._finalize(context, self._pending(context, event), stop, failing_since)
            if not isinstance(ended, KeepWaiting):
                return ended
            if stop.outcome is Outcome.NO_CONNECTION:
                # A new trigger would not know the connection either.
                return self._wait_on_worker(context, ended.pending)
            return self._wait(context, ended.pending, ended.failing_since)

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> dict[str, Any]:
        """Go on when there was no event: no video is lost to a dead triggerer or a broken trigger."""
        try:
            resumed: dict[str, Any] = super().resume_execution(next_method, next_kwargs, context)
            return resumed
        except TaskDeferralTimeout as error:
            self.log.warning("The deferral ended without an event (%s); looking once more.", error)
            return self.execute_complete(context, {"outcome": Outcome.DEADLINE.value})
        except TaskDeferralError as error:
            return self._resume_without_trigger(context, error)

    def _resume_without_trigger(self, context: Context, error: TaskDeferralError) -> dict[str, Any]:
        """Go on in this process after the trigger has failed: a new one might fail the same way, again and again."""
        with airflow_errors():
            waited = self._pending(context, None)
            self.log.warning(
                "The trigger has failed (%s). This worker reads generation %s itself, and waits for it if it goes on.",
                error,
                waited.generation_id,
            )
            ended = self._finalize(context, waited, StopPolling(Outcome.DEADLINE), None)
            return self._wait_on_worker(context, ended.pending) if isinstance(ended, KeepWaiting) else ended

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:
        """Say again, after a resume, what was waited for."""
        raise NotImplementedError

    def _record_end(
        self, context: Context, waited: PendingGeneration, seen: Generation, record: dict[str, Any] | None
    ) -> None:
        """Note that the generation has ended; ``record`` is there if it has a result."""

    def _record_refusal(self, context: Context, refused: Refused) -> None:
        """Note that EvoLink has refused, for minutes, to tell anything of the generation."""

    def _watch(self, waited: PendingGeneration) -> Watch:
        """
        Put the limits together: Airflow itself forgets ``execution_timeout`` while a task is deferred.

        :raises InvalidInputError: one of them makes no sense; the text names the argument or the option.
        """
        most = [limits.seconds_of("timeout", self.timeout) or limits.default_timeout()]
        if self.execution_timeout:
            most.append(self.execution_timeout.total_seconds())
        submitted_at = waited.origin.submitted_at
        return Watch(
            generation_id=waited.generation_id,
            submitted_at=submitted_at,
            deadline=(submitted_at if waited.since is None else waited.since) + min(most),
            poll_interval=limits.poll_interval(self.poll_interval),
            estimated_time=waited.estimated_time,
            unreachable_timeout=limits.unreachable_timeout(),
            model=waited.origin.model,
        )

    def _trigger(self, waited: PendingGeneration) -> EvoLinkGenerationTrigger:
        from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

        cost = waited.origin.credits_reserved
        return EvoLinkGenerationTrigger.for_watch(self._watch(waited), self.evolink_conn_id, credits_reserved=cost)

    def _may_defer(self, context: Context) -> bool:
        """Whether this task can be resumed: not if a task of another kind only executes this operator."""
        return self.deferrable and outer_task(self, context) is None

    def _wait(self, context: Context, waited: PendingGeneration, failing_since: float | None = None) -> dict[str, Any]:
        """Wait, in the triggerer where that can be, and end with the record."""
        context["ti"].xcom_push(key=RESULT_LINK_KEY, value="")
        if self._may_defer(context):
            self._defer(waited, failing_since)
        return self._wait_on_worker(context, waited)

    def _defer(self, waited: PendingGeneration, failing_since: float | None) -> NoReturn:
        with self._naming_paid_generation(waited):
            watch, trigger = self._watch(waited), self._trigger(waited)
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs=None if failing_since is None else {"failing_since": failing_since},
            timeout=timedelta(seconds=deferral_seconds(watch, now=time.time())),
        )

    def _wait_on_worker(self, context: Context, waited: PendingGeneration) -> dict[str, Any]:
        if self.deferrable and (outer := outer_task(self, context)):
            self.log.warning("Waiting on the worker: the task %s, which runs this one, can't resume it.", outer)
        while True:
            with self._naming_paid_generation(waited):
                stop = self._poll_on_worker(self._watch(waited))
            ended = self._finalize(context, waited, stop, None)
            if not isinstance(ended, KeepWaiting):
                return ended
            waited = ended.pending
            time.sleep(_PAUSE_SECONDS)

    def _poll_on_worker(self, watch: Watch) -> StopPolling:
        from airflow_provider_evolink.api.client import run
        from airflow_provider_evolink.polling.poller import Poller

        def tell(news: str) -> None:
            self.log.info("Generation %s: %s.", watch.generation_id, news)

        async def wait() -> StopPolling:
            return await Poller(lambda: async_settings(self.evolink_conn_id)).wait(watch, tell)

        return run(wait)

    def _finalize(
        self, context: Context, waited: PendingGeneration, stop: StopPolling, failing_since: float | None
    ) -> dict[str, Any] | KeepWaiting:
        """Read what has become of the generation: it has ended, is waited for again, or out of time."""
        with self._naming_paid_generation(waited):
            watch = self._watch(waited)
            may_go_on = time.time() < watch.deadline
            seen = self._read(waited, self._read_timeout(context, watch, stop, failing_since))
        match seen:
            case Refused():
                self._record_refusal(context, seen)
                raise self._refusal_error(seen, waited)
            case Unanswered(error, since):
                since = since if failing_since is None else failing_since
                is_endured = stop.outcome is Outcome.UNREACHABLE or time.time() - since >= watch.unreachable_timeout
                if not is_endured:
                    self.log.warning(
                        "Generation %s can't be read (%s). It is waited for again.",
                        waited.generation_id,
                        describe_error(error),
                    )
                    return KeepWaiting(waited, since)
                last = StopPolling(Outcome.UNREACHABLE, stop.status, stop.detail or describe_error(error))
                raise self._unfinished(last, waited, error.retry_after) from None
        waited = self._updated(context, waited, seen)
        if seen.is_terminal:
            return self._complete(context, waited, seen)
        if may_go_on:
            # It was believed ended, unknown or out of reach, and is not.
            return KeepWaiting(waited)
        raise self._unfinished(StopPolling(Outcome.DEADLINE, seen.status), waited)

    def _read_timeout(self, context: Context, watch: Watch, stop: StopPolling, failing_since: float | None) -> float:
        """Seconds for which reads may fail in passing, here and now."""
        now = time.time()
        if stop.outcome is Outcome.UNREACHABLE:
            return 0.0
        left = (
            watch.unreachable_timeout
            if failing_since is None
            else max(failing_since + watch.unreachable_timeout - now, 0.0)
        )
        return min(_WORKER_SECONDS, left) if self._may_defer(context) and now < watch.deadline else left

    def _read(self, waited: PendingGeneration, patience: float) -> Generation | Refused | Unanswered:
        def ask() -> Generation:
            # A hook of its own: the connection may be mended meanwhile.
            return EvoLinkHook(self.evolink_conn_id).get_generation(waited.generation_id)

        return read_until_confirmed(ask, timeout=patience, log=self.log)

    def _refusal_error(self, refused: Refused, waited: PendingGeneration) -> EvoLinkError:
        return read_refused(
            refused,
            waited.generation_id,
            cost=waited.origin.credits_reserved,
            may_submit=self._may_submit,
            replaced_from=results_expire_at(waited.origin.submitted_at, waited.origin.model),
        )

    @contextmanager
    def _naming_paid_generation(self, waited: PendingGeneration) -> Iterator[None]:
        """Say of a setting that was broken after the payment that a generation is paid for."""
        try:
            yield
        except (InvalidInputError, ConfigurationError) as error:
            cost = waited.origin.credits_reserved
            raise cannot_wait(error, waited.generation_id, conn_id=self.evolink_conn_id, cost=cost) from None

    def _updated(self, context: Context, waited: PendingGeneration, seen: Generation) -> PendingGeneration:  # noqa: ARG002
        """What is waited for, as a look at it has shown it."""
        return waited

    def _complete(self, context: Context, waited: PendingGeneration, seen: Generation) -> dict[str, Any]:
        if seen.status != "completed":
            self._record_end(context, waited, seen, None)
            raise failure_error(seen, cost=waited.origin.credits_reserved, may_submit=self._may_submit)
        if not has_results(seen, waited.origin.model):
            # Nothing is noted: a retry is to read it again.
            cost = waited.origin.credits_reserved
            raise result_missing(seen, cost=cost, conn_id=self.evolink_conn_id, may_submit=self._may_submit)
        record = build_record(seen, waited.origin, now=time.time())
        self._record_end(context, waited, seen, record)
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
            f" Its links die at {record['expires_at']}." if links else "",
        )

    def _unfinished(
        self, stop: StopPolling, waited: PendingGeneration, retry_after: float | None = None
    ) -> EvoLinkError:
        origin = waited.origin
        return unfinished_error(
            stop,
            waited.generation_id,
            waited=time.time() - origin.submitted_at,
            conn_id=self.evolink_conn_id,
            cost=origin.credits_reserved,
            retry_after=retry_after,
            replaced_from=results_expire_at(origin.submitted_at, origin.model) if self._may_submit else None,
        )
