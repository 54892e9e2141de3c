# SPDX-License-Identifier: Apache-2.0
"""Trigger of a sensor whose task ends in the triggerer, so that no worker starts for it again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.api.results import has_results
from airflow_provider_evolink.compat import push_xcom_from_trigger
from airflow_provider_evolink.execution.cost_line import cost_of
from airflow_provider_evolink.execution.pending import after_read, collectable
from airflow_provider_evolink.links.evolink import RESULT_LINK_KEY, EvoLinkResultLink
from airflow_provider_evolink.polling.policy import StopPolling
from airflow_provider_evolink.polling.poller import Poller
from airflow_provider_evolink.result import build_record, result_line
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

if TYPE_CHECKING:
    from airflow_provider_evolink.types import GenerationRecord


class EvoLinkSensorTrigger(EvoLinkGenerationTrigger):
    """Poll one generation, and end the task as a success as soon as it is completed; nothing is ever submitted.

    The record is pushed to XCom, as a worker would, and travels neither in the arguments nor in the event. Whatever
    else happens yields the event of
    :class:`~airflow_provider_evolink.triggers.evolink.EvoLinkGenerationTrigger`, so that a worker reads the generation
    and fails, skips or keeps waiting, with all that Airflow does then: a generation that has failed, one without a link
    to a result or that can't be read, a deadline, an outage, a missing connection, and an XCom that can't be stored.

    :param evolink_conn_id: connection of type ``evolink`` or ``http``.
    :param pushes_record: whether the record becomes the task's return value, as ``do_xcom_push`` says.

    The other parameters are those of the base class.
    """

    def __init__(self, evolink_conn_id: str, *, pushes_record: bool = True, **kwargs: Any) -> None:
        super().__init__(evolink_conn_id, **kwargs)
        self.pushes_record = pushes_record
        self._record: GenerationRecord | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that recreate this trigger."""
        _, kwargs = super().serialize()
        path = "airflow_provider_evolink.triggers.sensor.EvoLinkSensorTrigger"
        return path, {**kwargs, "pushes_record": self.pushes_record}

    async def _poll(self, poller: Poller) -> StopPolling:
        # Without a task instance, as in dag.test(), there is no task to end.
        if self.task_instance is None:
            return await super()._poll(poller)
        stop, generation = await poller.wait_and_read(self.watch, self._on_progress)
        if generation is not None:
            self._record = self._record_of(generation, self.task_instance.try_number)
        return stop

    def _record_of(self, generation: Generation, try_number: int) -> GenerationRecord | None:
        """Return the record that a worker would, or ``None`` if it would raise an error."""
        pending = collectable(self.watch.generation_id, try_number, since=self.watch.submitted_at)
        origin = after_read(pending, generation).origin
        if generation.status != COMPLETED or not has_results(generation, origin.model):
            return None
        return build_record(generation, origin, now=time.time())

    async def _event(self, payload: dict[str, Any]) -> TriggerEvent:
        if self._record is None:
            return await super()._event(payload)
        try:
            await self._push(self._record)
        except Exception as error:
            self.log.warning("The record could not be stored from the triggerer (%r); a worker does it.", error)
            return await super()._event(payload)
        self.log.info("%s", result_line(self._record))
        self.log.info("%s", cost_of([self._record]))
        return TaskSuccessEvent()

    async def _push(self, record: GenerationRecord) -> None:
        """Push what the end of a task on a worker leaves in XCom."""
        link = record["results"][0] if record["results"] else ""
        # The second is Airflow's own copy, for the button on the task's page.
        xcoms: dict[str, Any] = {RESULT_LINK_KEY: link, EvoLinkResultLink().xcom_key: link}
        if self.pushes_record:
            xcoms["return_value"] = record
        for key, value in xcoms.items():
            await push_xcom_from_trigger(self.task_instance, key, value)
