# SPDX-License-Identifier: Apache-2.0
"""Trigger that polls a generation in the triggerer, without holding a worker slot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Self

from airflow_provider_evolink.api.generation import COMPLETED
from airflow_provider_evolink.polling.events import event_payload
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.polling.poller import Poller
from airflow_provider_evolink.result import trigger_stopped
from airflow_provider_evolink.triggers.base import EvoLinkBaseTrigger


class EvoLinkGenerationTrigger(EvoLinkBaseTrigger):
    """Poll one generation until it ends and yield exactly one event; nothing is ever submitted.

    Airflow stores a trigger's arguments as plain text, so they hold ids and times, but no API key, prompt or result
    URL. All times are absolute, so a restarted triggerer resumes where the last one stopped. Arguments that this
    version does not know are ignored, so a row that a later version stored still works.

    The event is ``{generation_id, outcome, status, detail}``. ``status`` is the last status that EvoLink returned, or
    ``None``; ``detail`` is a short reason for an outcome other than ``terminal``, or ``None``. ``outcome`` is one of:

    - ``terminal``: the generation has ended as completed, failed or cancelled;
    - ``deadline``: it had not ended at ``deadline``;
    - ``unreachable``: every poll failed for ``unreachable_timeout`` seconds;
    - ``refused``: EvoLink repeatedly refused to return it;
    - ``no_connection``: this triggerer has no such connection; a worker may have it.

    :param evolink_conn_id: connection of type ``evolink`` or ``http``.
    :param generation_id: the generation to wait for.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param deadline: when to stop waiting, in seconds since the epoch.
    :param poll_interval: seconds between two polls; ``None`` = adaptive, from EvoLink's estimate and the durations of
        the model's earlier generations.
    :param estimated_time: EvoLink's estimate of the generation's duration, in seconds.
    :param unreachable_timeout: seconds for which every poll may fail, 600 by default.
    :param credits_reserved: credits that EvoLink has reserved for it, for the log.
    :param model: its model, which selects the durations to learn from.
    """

    def __init__(
        self,
        evolink_conn_id: str,
        generation_id: str,
        submitted_at: float,
        deadline: float,
        poll_interval: float | None = None,
        estimated_time: float | None = None,
        unreachable_timeout: float = 600.0,
        credits_reserved: float | None = None,
        model: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(evolink_conn_id)
        self.credits_reserved = credits_reserved
        self._has_failed = False
        self.watch = Watch(
            generation_id=generation_id,
            submitted_at=submitted_at,
            deadline=deadline,
            poll_interval=poll_interval,
            estimated_time=estimated_time,
            unreachable_timeout=unreachable_timeout,
            model=model,
        )

    @classmethod
    def for_watch(
        cls, watch: Watch, evolink_conn_id: str, *, credits_reserved: float | None = None, **own: Any
    ) -> Self:
        """Make the trigger for a watch; ``own`` are arguments of a subclass."""
        return cls(evolink_conn_id=evolink_conn_id, credits_reserved=credits_reserved, **asdict(watch), **own)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that recreate this trigger."""
        path = "airflow_provider_evolink.triggers.evolink.EvoLinkGenerationTrigger"
        own = {"evolink_conn_id": self.evolink_conn_id, "credits_reserved": self.credits_reserved}
        return path, {**own, **asdict(self.watch)}

    async def on_kill(self) -> None:
        """Log what stays paid for and how to collect it; nothing is cancelled at EvoLink.

        Airflow 3.3 also calls this when a trigger moves to another triggerer (apache/airflow#73454), and the first
        look-up of a task's state in a triggerer takes longer than Airflow waits. So the message has to be true whatever
        the reason, without a look-up.
        """
        if self._has_failed:
            # There is nothing to collect.
            return
        text = trigger_stopped(self.watch.generation_id, self.evolink_conn_id, cost=self.credits_reserved)
        self.log.warning("%s", text)

    async def _wait(self, poller: Poller) -> dict[str, Any]:
        stop = await self._poll(poller)
        self._has_failed = stop.outcome is Outcome.TERMINAL and stop.status != COMPLETED
        return {**event_payload(stop, self.watch.generation_id)}

    async def _poll(self, poller: Poller) -> StopPolling:
        return await poller.wait(self.watch, self._on_progress)

    def _on_progress(self, message: str) -> None:
        self.log.info("Generation %s: %s.", self.watch.generation_id, message)
