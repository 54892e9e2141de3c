# SPDX-License-Identifier: Apache-2.0
"""What the operators and the sensor share: wait for a generation, in the triggerer or on the worker.

Both ways of waiting run the same poller. A worker finishes either: see
:mod:`~airflow_provider_evolink.execution.generation_wait`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_evolink.compat import TaskDeferralError, outer_task
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution.generation_wait import GenerationWait
from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.execution.pending import KeepWaiting, PendingGeneration
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook, async_settings
from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage
from airflow_provider_evolink.links.evolink import RESULT_LINK_KEY, EvoLinkResultLink
from airflow_provider_evolink.operators.deferring import DeferringOperator
from airflow_provider_evolink.operators.lineage import LineageMethods
from airflow_provider_evolink.polling.events import parse_event
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, deferral_seconds

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.compat import BaseOperatorLink
    from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
    from airflow_provider_evolink.types import GenerationRecord

# XCom key of the generation's id.
GENERATION_ID_KEY = "generation_id"


class EvoLinkBaseOperator(GenerationWait, LineageMethods, DeferringOperator):
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

    operator_extra_links: Collection[BaseOperatorLink] = (EvoLinkResultLink(),)

    def __init__(
        self,
        *,
        evolink_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = True,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        with literal_errors(kwargs.get("task_id")):
            given = {"evolink_conn_id": evolink_conn_id, "timeout": timeout, "poll_interval": poll_interval}
            check_literals(given)
        super().__init__(**kwargs)
        self.evolink_conn_id = evolink_conn_id
        self.deferrable = deferrable
        self.timeout: Any = timeout
        self.poll_interval = poll_interval
        self.result_link = ""
        self._lineage = RunLineage()

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Prepare a mapped task, whose literals are checked as those of any other."""
        with literal_errors(kwargs.get("task_id")):
            check_literals(kwargs)
        return super().partial(**kwargs)

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, failing_since: float | None = None
    ) -> GenerationRecord:
        """Finish on a worker after the trigger's event.

        :param context: of this try.
        :param event: of the trigger.
        :param failing_since: since when workers have failed to read the generation, in seconds since the epoch;
            ``None`` = they have not.
        """
        with airflow_errors(self._known):
            stop = parse_event(event)
            outcome = self._finalize(context, self._pending(context, event), stop, failing_since)
            if not isinstance(outcome, KeepWaiting):
                return outcome
            if stop.outcome is Outcome.NO_CONNECTION:
                self._log_missing_connection()
                return self._wait_on_worker(context, outcome.pending)
            return self._wait(context, outcome.pending, outcome.failing_since)

    def _resume_without_event(self, context: Context, kwargs: Mapping[str, Any]) -> GenerationRecord:  # noqa: ARG002
        return self.execute_complete(context, {"outcome": Outcome.DEADLINE.value})

    def _resume_without_trigger(
        self,
        context: Context,
        kwargs: Mapping[str, Any],  # noqa: ARG002
        error: TaskDeferralError,
    ) -> GenerationRecord:
        with airflow_errors(self._known):
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

    def _trigger(self, pending: PendingGeneration) -> EvoLinkGenerationTrigger:
        from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

        cost = pending.origin.credits_reserved
        return EvoLinkGenerationTrigger.for_watch(self._watch(pending), self.evolink_conn_id, credits_reserved=cost)

    def _may_defer(self, context: Context) -> bool:
        return self._can_defer(context)

    def _wait(
        self, context: Context, pending: PendingGeneration, failing_since: float | None = None
    ) -> GenerationRecord:
        """Wait, in the triggerer if possible, and return the record."""
        # Until there is a result, readers of the link find that of no earlier try.
        self._push_result_link(context, [])
        if self._may_defer(context):
            self._defer(pending, failing_since)
        if self.deferrable:
            outer = outer_task(self, context)
            self.log.warning("Waiting on the worker, since the task %s, which runs this one, can't resume it.", outer)
        return self._wait_on_worker(context, pending)

    def _defer(self, pending: PendingGeneration, failing_since: float | None) -> NoReturn:
        with self._naming_paid_generation(pending):
            watch, trigger = self._watch(pending), self._trigger(pending)
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={**({} if failing_since is None else {"failing_since": failing_since}), **self._kept()} or None,
            timeout=timedelta(seconds=deferral_seconds(watch, now=time.time())),
        )

    def _kept(self) -> dict[str, Any]:
        """Return what ``resume_execution`` gets back after the deferral, besides the arguments of its method."""
        return {}

    def _read_once(self, generation_id: str) -> Generation:
        return EvoLinkHook(self.evolink_conn_id).get_generation(generation_id)

    async def _look_up(self) -> Settings:
        return await async_settings(self.evolink_conn_id)

    def _publish_result(self, context: Context, record: GenerationRecord) -> None:
        self._push_result_link(context, record["results"])
        self._lineage.add_generation(GenerationFacts.of_record(record))
        super()._publish_result(context, record)

    def _push_result_link(self, context: Context, links: Sequence[str]) -> None:
        self.result_link = links[0] if links else ""
        context["ti"].xcom_push(key=RESULT_LINK_KEY, value=self.result_link)

    def _note_failure(self) -> None:
        status = None if self._latest is None else self._latest.status
        self._lineage.add_generation(GenerationFacts.of_error(self._known(), status))
