# SPDX-License-Identifier: Apache-2.0
"""Waiting for a generation that somebody else submitted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_evolink.api.errors import EvoLinkError, GenerationNotFoundError, InvalidInputError
from airflow_provider_evolink.api.generation import NOT_FOUND_GRACE, Generation, is_generation_id, submission_time
from airflow_provider_evolink.compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    TaskDeferralError,
    outer_task,
)
from airflow_provider_evolink.exceptions import EvoLinkFailException, airflow_errors
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY, EvoLinkBaseOperator, PendingGeneration
from airflow_provider_evolink.operators.limits import default_timeout, seconds_of
from airflow_provider_evolink.polling.confirmed_read import Refused, describe_error
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.result import Origin

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class EvoLinkGenerationSensor(BaseSensorOperator, EvoLinkBaseOperator):
    """
    Wait for a generation that was submitted elsewhere, and return its record; it never submits and costs nothing.

    It collects what a task with ``wait_for_completion=False`` has submitted, or what a failed task has left running.
    A retry looks again. With ``deferrable=False``, ``mode="reschedule"`` frees the worker between two looks.

    :param generation_id: the generation's id, or a record that holds one (templated).
    :param timeout: seconds (or a ``timedelta``) from the start of each try, as for every sensor; ``None`` =
        ``[evolink] default_timeout``, 30 minutes. However old the generation is, it is waited for that long.
    :return: the record that :class:`~airflow_provider_evolink.operators.evolink.EvoLinkGenerateOperator` returns.
    :raises EvoLinkFailException: EvoLink refuses to tell about the generation, for minutes, or it failed for good.
    :raises GenerationTimeoutError: it has not ended in time; a retry waits as long again.
    :raises PollingFailedError: EvoLink could not be asked for too long; a retry asks again.
    :raises ResultMissingError: it is completed and has no link to a result; a retry looks again.

    The other parameters are those of every waiting operator and of Airflow's sensors (``soft_fail``, ``mode``, …).
    """

    template_fields: Sequence[str] = ("generation_id", "evolink_conn_id")
    _may_submit = False

    def __init__(
        self,
        *,
        generation_id: str | Mapping[str, Any] | XComArg,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("poke_interval", poll_interval or 10.0)
        super().__init__(timeout=timeout, poll_interval=poll_interval, **kwargs)
        self.timeout = seconds_of("timeout", timeout) or default_timeout()
        self.generation_id = generation_id

    def execute(self, context: Context) -> Any:
        """Look once, and wait if the generation has not ended."""
        with self._skip_on_soft_fail(), airflow_errors():
            if self._reschedules(context):
                return self._rescheduled(context)
            waited = self._pending(context, None)
            match self._read(waited, patience=0.0):
                case Generation() as seen:
                    waited = self._updated(context, waited, seen)
                    return self._complete(context, waited, seen) if seen.is_terminal else self._wait(context, waited)
                case Refused() as refused if not self._is_young(refused):
                    raise self._refusal_error(refused, waited)
            return self._wait(context, waited)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Look once; a look that fails in passing counts as not yet."""
        with self._skip_on_soft_fail(), airflow_errors():
            return self._poked(context)

    def _reschedules(self, context: Context) -> bool:
        return not self.deferrable and self.mode == "reschedule" and outer_task(self, context) is None

    def _rescheduled(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            # Airflow's own text says nothing of the generation.
            raise self._unfinished(StopPolling(Outcome.DEADLINE), self._pending(context, None)) from None

    def _poked(self, context: Context) -> PokeReturnValue | bool:
        waited = self._pending(context, None)
        seen = self._read(waited, patience=0.0)
        if isinstance(seen, Refused) and not self._is_young(seen):
            raise self._refusal_error(seen, waited)
        with self._naming_paid_generation(waited):
            is_late = time.time() >= self._watch(waited).deadline
        if not isinstance(seen, Generation):
            self.log.warning("Generation %s can't be read (%s).", waited.generation_id, describe_error(seen.error))
            if is_late:
                raise self._unfinished(
                    StopPolling(Outcome.UNREACHABLE, None, describe_error(seen.error)), waited, seen.error.retry_after
                )
            return False
        waited = self._updated(context, waited, seen)
        if seen.is_terminal:
            return PokeReturnValue(is_done=True, xcom_value=self._complete(context, waited, seen))
        self.log.info("Generation %s: %s, %s %%.", seen.id, seen.status, seen.progress or 0)
        if is_late:
            raise self._unfinished(StopPolling(Outcome.DEADLINE, seen.status), waited)
        return False

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, failing_since: float | None = None
    ) -> dict[str, Any]:
        """Finish on a worker what the trigger has seen the end of."""
        with self._skip_on_soft_fail():
            return super().execute_complete(context, event, failing_since)

    def _resume_without_trigger(self, context: Context, error: TaskDeferralError) -> dict[str, Any]:
        with self._skip_on_soft_fail():
            return super()._resume_without_trigger(context, error)

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:  # noqa: ARG002
        submitted_at = submission_time(self._id()) or time.time()
        origin = Origin(submitted_at=submitted_at, try_number=context["ti"].try_number)
        return PendingGeneration(self._id(), origin, since=self._started_at(context))

    def _started_at(self, context: Context) -> float:
        """When this try began: Airflow keeps that over a deferral, and the first of several reschedules."""
        ti = context["ti"]
        if outer_task(self, context) is not None:
            return time.time()
        first = ti.get_first_reschedule_date(context) if self._reschedules(context) else None
        started_at: float = (first or ti.start_date).timestamp()
        return started_at

    def _updated(self, context: Context, waited: PendingGeneration, seen: Generation) -> PendingGeneration:
        context["ti"].xcom_push(key=GENERATION_ID_KEY, value=seen.id)
        origin = Origin(
            submitted_at=min(seen.created or waited.origin.submitted_at, time.time()),
            model=seen.model,
            credits_reserved=seen.usage.credits_reserved,
            billing_rule=seen.usage.billing_rule,
            try_number=context["ti"].try_number,
        )
        return PendingGeneration(seen.id, origin, seen.estimated_time, waited.since)

    def _is_young(self, refused: Refused) -> bool:
        """Whether EvoLink may not know the generation yet."""
        age = time.time() - (submission_time(self._id()) or 0.0)
        return isinstance(refused.error, GenerationNotFoundError) and age < NOT_FOUND_GRACE

    def _id(self) -> str:
        given = self.generation_id
        value = given.get("generation_id") if isinstance(given, Mapping) else given
        if not isinstance(value, str) or not is_generation_id(value):
            raise InvalidInputError("generation_id", given, "an id such as task-unified-1757169743-7cvnl5zw")
        return value

    @contextmanager
    def _skip_on_soft_fail(self) -> Iterator[None]:
        try:
            yield
        except (EvoLinkError, EvoLinkFailException) as error:
            if self.soft_fail or self.never_fail:
                # Airflow puts a text of its own into a skip after a deferral.
                self.log.warning("%s", error)
                raise AirflowSkipException(str(error)) from error
            raise
