# SPDX-License-Identifier: Apache-2.0
"""Sensor that waits for a generation submitted elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    TaskDeferralError,
    outer_task,
)
from airflow_provider_evolink.exceptions import EvoLinkFailException, airflow_errors
from airflow_provider_evolink.execution.collecting_wait import CollectingWait
from airflow_provider_evolink.execution.limits import default_timeout, parse_seconds
from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.execution.pending import KeepWaiting, PendingGeneration, after_read, collectable
from airflow_provider_evolink.landing.sources import generations_in
from airflow_provider_evolink.lineage.datasets import Dataset, generation
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY, EvoLinkBaseOperator
from airflow_provider_evolink.polling.confirmed_read import describe_error
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.sensors.ending import check_declared, check_surroundings

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
    from airflow_provider_evolink.types import GenerationRecord


class EvoLinkGenerationSensor(BaseSensorOperator, CollectingWait, EvoLinkBaseOperator):
    """Wait for a generation that was submitted elsewhere and return its record; it never submits and costs nothing.

    Use it to collect what a task with ``wait_for_completion=False`` submitted, or what a failed task left running. A
    retry checks again. With ``deferrable=False``, ``mode="reschedule"`` frees the worker slot between two pokes.

    :param generation_id: id of the generation, or a record that contains it (templated).
    :param timeout: seconds (or a ``timedelta``) from the start of each try, as for every sensor; ``None`` =
        ``[evolink] default_timeout``, 30 minutes by default. The age of the generation does not count. It bounds
        reads that fail, too; one that is under way then is not cut short.
    :param end_in_triggerer: end the task in the triggerer once the generation is completed, without a second start of a
        worker; ``False`` by default. Everything else ends on a worker as before: failures with their errors and
        retries, ``soft_fail``, timeouts, and a generation that has ended before the task starts. Refused where Airflow
        would leave something out at the end: with outlets, ``on_success_callback``, ``post_execute`` or
        ``multiple_outputs``, if the output is mapped over field by field or is the DAG's result, with ``[core]
        xcom_backend``, with listeners such as OpenLineage's, and with ``deferrable=False``.
    :return: the record, as :class:`~airflow_provider_evolink.operators.evolink.EvoLinkGenerateOperator` returns it.
    :raises EvoLinkFailException: the generation failed, and the task that submitted it has to submit a new one; or
        EvoLink refused for two minutes, or for ``timeout``, to return it. A retry finds the same.
    :raises GenerationNotFoundError: EvoLink did not know it when ``timeout`` ended, which was too soon to rule out a
        stray response; a retry reads it again. So do other refusals.
    :raises GenerationTimeoutError: it did not end in time; a retry waits for as long again.
    :raises PollingFailedError: EvoLink was unreachable for too long; a retry polls again.
    :raises ResultMissingError: it completed without a link to a result; a retry reads it again.

    The other parameters are those of the operators that wait (see
    :class:`~airflow_provider_evolink.operators.base.EvoLinkBaseOperator`) and of Airflow's sensors, such as
    ``soft_fail`` and ``mode``.
    """

    template_fields: Sequence[str] = ("generation_id", "evolink_conn_id")

    def __init__(
        self,
        *,
        generation_id: str | Mapping[str, Any] | XComArg,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
        end_in_triggerer: bool = False,
        **kwargs: Any,
    ) -> None:
        with literal_errors(kwargs.get("task_id")):
            check_literals({"generation_id": generation_id, "timeout": timeout, "poll_interval": poll_interval})
        kwargs.setdefault("poke_interval", poll_interval or 10.0)
        # Before 3.3 Airflow's sensors take no timeout of None.
        seconds = parse_seconds("timeout", timeout) or default_timeout()
        super().__init__(timeout=seconds, poll_interval=poll_interval, **kwargs)
        self.generation_id = generation_id
        self.end_in_triggerer = end_in_triggerer
        if end_in_triggerer:
            with literal_errors(kwargs.get("task_id")):
                check_declared(self, deferrable=self.deferrable)

    def execute(self, context: Context) -> Any:
        """Read the generation once, and wait if it has not ended."""
        with self._skip_on_soft_fail(), airflow_errors(self._known):
            if self.end_in_triggerer:
                check_declared(self, deferrable=self.deferrable)
                check_surroundings(self, context["ti"])
            if self._reschedules(context):
                return self._execute_rescheduling(context)
            outcome = self._collect(context, self._pending(context, None))
            return self._wait(context, outcome.pending) if isinstance(outcome, KeepWaiting) else outcome

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Read the generation once; a read that fails with a transient error counts as not finished."""
        with self._skip_on_soft_fail(), airflow_errors(self._known):
            return self._poke(context)

    def _inputs(self) -> Iterable[Dataset]:
        return map(generation, generations_in(self.generation_id))

    def _reschedules(self, context: Context) -> bool:
        return not self.deferrable and self.mode == "reschedule" and outer_task(self, context) is None

    def _execute_rescheduling(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            # Airflow's own message does not name the generation.
            raise self._unfinished(StopPolling(Outcome.DEADLINE), self._pending(context, None)) from None

    def _poke(self, context: Context) -> PokeReturnValue | bool:
        pending = self._pending(context, None)
        latest = self._read_unrefused(pending)
        with self._naming_paid_generation(pending):
            is_late = time.time() >= self._watch(pending).deadline
        if not isinstance(latest, Generation):
            return self._poke_failed(pending, latest.error, is_late=is_late)
        pending = self._updated(context, pending, latest)
        if latest.is_terminal:
            return PokeReturnValue(is_done=True, xcom_value=self._complete(context, pending, latest))
        self.log.info("Generation %s: %s, %s%%.", latest.id, latest.status, latest.progress or 0)
        if is_late:
            raise self._unfinished(StopPolling(Outcome.DEADLINE, latest.status), pending)
        return False

    def _poke_failed(self, pending: PendingGeneration, error: EvoLinkError, *, is_late: bool) -> bool:
        reason = describe_error(error)
        self.log.warning("Generation %s could not be read (%s).", pending.generation_id, reason)
        if is_late:
            raise self._unfinished(StopPolling(Outcome.UNREAD, None, reason), pending, error.retry_after)
        return False

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, failing_since: float | None = None
    ) -> GenerationRecord:
        """Finish on a worker after the trigger's event."""
        with self._skip_on_soft_fail():
            return super().execute_complete(context, event, failing_since)

    def _resume_without_trigger(
        self, context: Context, kwargs: Mapping[str, Any], error: TaskDeferralError
    ) -> GenerationRecord:
        with self._skip_on_soft_fail():
            return super()._resume_without_trigger(context, kwargs, error)

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:  # noqa: ARG002
        return collectable(self.generation_id, context["ti"].try_number, since=self._started_at(context))

    def _trigger(self, pending: PendingGeneration) -> EvoLinkGenerationTrigger:
        if not self.end_in_triggerer:
            return super()._trigger(pending)
        from airflow_provider_evolink.triggers.sensor import EvoLinkSensorTrigger

        return EvoLinkSensorTrigger.for_watch(
            self._watch(pending),
            self.evolink_conn_id,
            credits_reserved=pending.origin.credits_reserved,
            pushes_record=self.do_xcom_push,
        )

    def _started_at(self, context: Context) -> float:
        """Return when this try began: Airflow keeps that across a deferral, and across the reschedules of a try."""
        ti = context["ti"]
        if outer_task(self, context) is not None:
            return time.time()
        first = ti.get_first_reschedule_date(context) if self._reschedules(context) else None
        started_at: float = (first or ti.start_date).timestamp()
        return started_at

    def _updated(self, context: Context, pending: PendingGeneration, generation: Generation) -> PendingGeneration:
        context["ti"].xcom_push(key=GENERATION_ID_KEY, value=generation.id)
        return after_read(pending, generation)

    @contextmanager
    def _skip_on_soft_fail(self) -> Iterator[None]:
        try:
            yield
        except (EvoLinkError, EvoLinkFailException) as error:
            if self.soft_fail or self.never_fail:
                # After a deferral Airflow replaces the message of a skip.
                self.log.warning("%s", error)
                raise AirflowSkipException(str(error)) from error
            raise
