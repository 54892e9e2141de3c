# SPDX-License-Identifier: Apache-2.0
"""
What the operators and the sensor share: waiting for a generation, deferred or not, and ending with its record.

Waiting is the same in both modes: the trigger and the worker run the same poller. When it ends, whatever the reason,
a worker reads the generation once more: an event may be old, and links do not travel through Airflow's database.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api import answers
from airflow_provider_evolink.api.errors import EvoLinkError, GenerationNotFoundError, InvalidInputError
from airflow_provider_evolink.api.pacing import EXPLICIT_FLOOR, Outcome, Stop, Watch, deferral_seconds
from airflow_provider_evolink.compat import BaseOperator, TaskDeferralError, TaskDeferralTimeout, conf
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook, async_settings
from airflow_provider_evolink.links.evolink import RESULT_LINK_KEY, EvoLinkResultLink
from airflow_provider_evolink.result import Origin, failure_of, record_of, unfinished

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

GENERATION_ID_KEY = "generation_id"
_LONGEST = timedelta(days=30).total_seconds()


@dataclass(frozen=True, slots=True)
class Waited:
    """What is waited for: a generation and where it comes from."""

    generation_id: str
    origin: Origin
    estimated_time: float | None = None


class WaitsForGeneration(BaseOperator):
    """
    Base of every operator that waits for a generation.

    :param evolink_conn_id: connection of type ``evolink``.
    :param deferrable: wait in the triggerer, holding no worker slot.
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

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Finish on a worker what the trigger has seen the end of."""
        with airflow_errors():
            return self._end(context, self._waited(context, event), stop_of(event))

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> dict[str, Any]:
        """Look once more when there was no event: no video is lost to a dead triggerer or a broken trigger."""
        try:
            resumed: dict[str, Any] = super().resume_execution(next_method, next_kwargs, context)
            return resumed
        except (TaskDeferralTimeout, TaskDeferralError) as error:
            self.log.warning("The deferral ended without an event (%s); looking once more.", error)
            return self.execute_complete(context, {"outcome": Outcome.DEADLINE.value})

    def _waited(self, context: Context, event: Mapping[str, Any] | None) -> Waited:
        """Say again, after a resume, what was waited for."""
        raise NotImplementedError

    def _remember(self, context: Context, waited: Waited, seen: Generation, record: dict[str, Any] | None) -> None:
        """Note that the generation has ended; ``record`` is there if it has a result."""

    def _watch(self, waited: Waited) -> Watch:
        """Put the limits together: Airflow itself forgets ``execution_timeout`` while a task is deferred."""
        limits = [seconds_of("timeout", self.timeout) or default_timeout()]
        if self.execution_timeout is not None:
            limits.append(self.execution_timeout.total_seconds())
        submitted_at = waited.origin.submitted_at
        return Watch(
            generation_id=waited.generation_id,
            submitted_at=submitted_at,
            deadline=submitted_at + min(limits),
            poll_interval=_checked_interval(self._interval()),
            estimated_time=waited.estimated_time,
            patience=conf.getfloat("evolink", "patience", fallback=600.0),
            model=waited.origin.model,
        )

    def _interval(self) -> float | None:
        if self.poll_interval is not None:
            return self.poll_interval
        is_set = conf.get("evolink", "poll_interval", fallback=None)
        return conf.getfloat("evolink", "poll_interval") if is_set else None

    def _trigger(self, waited: Waited) -> EvoLinkGenerationTrigger:
        from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

        cost = waited.origin.credits_reserved
        return EvoLinkGenerationTrigger.watching(self._watch(waited), self.evolink_conn_id, credits_reserved=cost)

    def _await(self, context: Context, waited: Waited) -> dict[str, Any]:
        context["ti"].xcom_push(key=RESULT_LINK_KEY, value="")
        watch = self._watch(waited)
        if self.deferrable:
            seconds = deferral_seconds(watch, now=time.time())
            self.defer(
                trigger=self._trigger(waited),
                method_name="execute_complete",
                timeout=timedelta(seconds=seconds),
            )
        return self._end(context, waited, self._wait_here(watch))

    def _wait_here(self, watch: Watch) -> Stop:
        from airflow_provider_evolink.api.client import run
        from airflow_provider_evolink.poller import Poller

        def tell(news: str) -> None:
            self.log.info("Generation %s: %s.", watch.generation_id, news)

        async def wait() -> Stop:
            return await Poller(lambda: async_settings(self.evolink_conn_id)).wait(watch, tell)

        return run(wait)

    def _end(self, context: Context, waited: Waited, stop: Stop) -> dict[str, Any]:
        has_time = self.deferrable and time.time() < self._watch(waited).deadline
        try:
            seen = EvoLinkHook(self.evolink_conn_id).get_generation(waited.generation_id)
        except EvoLinkError as error:
            if stop.outcome is Outcome.UNREACHABLE and not error.permanent:
                raise self._unfinished(stop, waited) from error
            # Its end was seen just now, so that there is no such generation can't be the last word.
            is_final_word = error.permanent and not isinstance(error, GenerationNotFoundError)
            if is_final_word or not has_time or stop.outcome is not Outcome.FINAL:
                raise
            self.log.warning("%s It is waited for again.", error)
            return self._await(context, waited)
        waited = self._known_better(context, waited, seen)
        if seen.is_final:
            return self._conclude(context, waited, seen)
        if has_time and stop.outcome is not Outcome.DEADLINE:
            # It was believed ended, unknown or out of reach, and is not.
            return self._await(context, waited)
        is_over = stop.outcome is Outcome.FINAL
        raise self._unfinished(replace(stop, outcome=Outcome.DEADLINE) if is_over else stop, waited)

    def _known_better(self, context: Context, waited: Waited, seen: Generation) -> Waited:  # noqa: ARG002
        """What is waited for, as a look at it has shown it."""
        return waited

    def _conclude(self, context: Context, waited: Waited, seen: Generation) -> dict[str, Any]:
        if seen.status != "completed":
            self._remember(context, waited, seen, None)
            raise failure_of(seen, cost=waited.origin.credits_reserved, may_submit=self._may_submit)
        record = record_of(seen, waited.origin, now=time.time())
        self._remember(context, waited, seen, record)
        self._hand_on(context, record)
        return record

    def _hand_on(self, context: Context, record: Mapping[str, Any]) -> None:
        links, used = record["results"], record["usage"]["credits_used"]
        context["ti"].xcom_push(key=RESULT_LINK_KEY, value=links[0] if links else "")
        self.log.info(
            "Generation %s is %s: %d result(s), %s credits used. Its links die at %s.",
            record["generation_id"],
            record["status"],
            len(links),
            "unknown" if used is None else f"{used:g}",
            record["expires_at"],
        )

    def _unfinished(self, stop: Stop, waited: Waited) -> EvoLinkError:
        return unfinished(
            stop,
            waited.generation_id,
            waited=time.time() - waited.origin.submitted_at,
            conn_id=self.evolink_conn_id,
            cost=waited.origin.credits_reserved,
        )


def stop_of(event: Mapping[str, Any] | None) -> Stop:
    """Read a trigger's event; one that says nothing counts as a deadline, which is looked into."""
    said = event if isinstance(event, Mapping) else {}
    try:
        outcome = Outcome(said.get("outcome", Outcome.DEADLINE))
    except ValueError:
        outcome = Outcome.DEADLINE
    status, detail = (answers.clean(said.get(name), "") for name in ("status", "detail"))
    return Stop(outcome, status, detail)


def default_timeout() -> float:
    """Seconds from the submission for which is waited by default."""
    return conf.getfloat("evolink", "default_timeout", fallback=1800.0)


def seconds_of(name: str, value: object) -> float | None:
    """
    Read a duration.

    :raises InvalidInputError: it is neither a positive number of seconds nor a ``timedelta``.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise InvalidInputError(name, value, "more than 0 seconds and at most 30 days, as a number or a timedelta")
    return float(seconds)


def _checked_interval(value: object) -> float | None:
    seconds = seconds_of("poll_interval", value)
    if seconds is not None and seconds < EXPLICIT_FLOOR:
        raise InvalidInputError("poll_interval", value, f"at least {EXPLICIT_FLOOR:g}, or None")
    return seconds
