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
from airflow_provider_evolink.api.generation import is_generation_id, submission_time
from airflow_provider_evolink.api.pacing import NOT_FOUND_GRACE, Outcome, Stop
from airflow_provider_evolink.compat import AirflowSkipException, BaseSensorOperator
from airflow_provider_evolink.exceptions import EvoLinkFailException, airflow_errors
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.result import Origin
from airflow_provider_evolink.waiting import (
    GENERATION_ID_KEY,
    Waited,
    WaitsForGeneration,
    default_timeout,
    seconds_of,
)

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_evolink.api.generation import Generation


class EvoLinkGenerationSensor(BaseSensorOperator, WaitsForGeneration):
    """
    Wait for a generation that was submitted elsewhere, and return its record; it never submits and costs nothing.

    It collects what a task with ``wait_for_completion=False`` has submitted, or what a failed task has left running.
    A retry looks again. With ``deferrable=False``, ``mode="reschedule"`` frees the worker between two looks.

    :param generation_id: the generation's id, or a record that holds one (templated).
    :param timeout: seconds (or a ``timedelta``) from the generation's submission; ``None`` = 30 minutes. A generation
        that has ended is collected however old it is.
    :return: the record that :class:`~airflow_provider_evolink.operators.evolink.EvoLinkGenerateOperator` returns.
    :raises EvoLinkFailException: EvoLink does not know the generation, or it failed for good.
    :raises GenerationTimeoutError: it has not ended in time; a retry looks again.

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
        with self._softly(), airflow_errors():
            if not self.deferrable and self.mode == "reschedule":
                return super().execute(context)
            try:
                seen = self._look(context)
            except GenerationNotFoundError:
                if not self._is_young():
                    raise
                return self._await(context, self._waited(context, None))
            waited = self._known_better(context, self._waited(context, None), seen)
            return self._conclude(context, waited, seen) if seen.is_final else self._await(context, waited)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Look once; a look that fails in passing counts as not yet."""
        with self._softly(), airflow_errors():
            return self._poked(context)

    def _poked(self, context: Context) -> PokeReturnValue | bool:
        try:
            seen = self._look(context)
        except EvoLinkError as error:
            if error.permanent and not (isinstance(error, GenerationNotFoundError) and self._is_young()):
                raise
            self.log.warning("%s", error)
            return False
        waited = self._known_better(context, self._waited(context, None), seen)
        if seen.is_final:
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, waited, seen))
        self.log.info("Generation %s: %s, %s %%.", seen.id, seen.status, seen.progress or 0)
        if time.time() >= self._watch(waited).deadline:
            raise self._unfinished(Stop(Outcome.DEADLINE, seen.status), waited)
        return False

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Finish on a worker what the trigger has seen the end of."""
        with self._softly():
            return super().execute_complete(context, event)

    def _waited(self, context: Context, event: Mapping[str, Any] | None) -> Waited:  # noqa: ARG002
        submitted_at = submission_time(self._id()) or time.time()
        return Waited(self._id(), Origin(submitted_at=submitted_at, try_number=context["ti"].try_number))

    def _known_better(self, context: Context, waited: Waited, seen: Generation) -> Waited:
        origin = Origin(
            submitted_at=min(seen.created or waited.origin.submitted_at, time.time()),
            model=seen.model,
            credits_reserved=seen.usage.credits_reserved,
            billing_rule=seen.usage.billing_rule,
            try_number=context["ti"].try_number,
        )
        return Waited(seen.id, origin, seen.estimated_time)

    def _is_young(self) -> bool:
        """Whether EvoLink may not know the generation yet."""
        return time.time() - (submission_time(self._id()) or 0.0) < NOT_FOUND_GRACE

    def _look(self, context: Context) -> Generation:
        seen = EvoLinkHook(self.evolink_conn_id).get_generation(self._id())
        context["ti"].xcom_push(key=GENERATION_ID_KEY, value=seen.id)
        return seen

    def _id(self) -> str:
        given = self.generation_id
        value = given.get("generation_id") if isinstance(given, Mapping) else given
        if not isinstance(value, str) or not is_generation_id(value):
            raise InvalidInputError("generation_id", given, "an id such as task-unified-1757169743-7cvnl5zw")
        return value

    @contextmanager
    def _softly(self) -> Iterator[None]:
        try:
            yield
        except (EvoLinkError, EvoLinkFailException) as error:
            if self.soft_fail or self.never_fail:
                # Airflow puts a text of its own into a skip after a deferral.
                self.log.warning("%s", error)
                raise AirflowSkipException(str(error)) from error
            raise
