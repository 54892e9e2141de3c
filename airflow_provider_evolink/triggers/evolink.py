# SPDX-License-Identifier: Apache-2.0
"""The waiting in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_evolink.api.generation import COMPLETED
from airflow_provider_evolink.hooks.evolink import async_settings
from airflow_provider_evolink.polling.events import event_payload
from airflow_provider_evolink.polling.policy import Outcome, Watch
from airflow_provider_evolink.polling.poller import shared_poller
from airflow_provider_evolink.result import trigger_stopped

# A worker's end is noticed up to 5 s after its task has deferred. A task that is resumed before that is taken for
# crashed (apache/airflow#71580), so no event may come sooner. Outside a triggerer there is nothing to wait for.
_SETTLED_SECONDS = 6.0


class EvoLinkGenerationTrigger(BaseTrigger):
    """
    Polls one generation to its end and yields exactly one event; it never submits.

    It holds ids, never a key, a prompt or a link, since Airflow keeps its arguments as plain text. All times are
    absolute, so that a restarted triggerer goes on where the last one stopped.

    The event is ``{generation_id, outcome, status, detail}``; ``outcome`` is ``final``, ``deadline``, ``unreachable``
    (it could not be asked about for ``patience`` seconds) or ``refused`` (it may not be asked about).

    :param evolink_conn_id: connection of type ``evolink``.
    :param generation_id: what to wait for.
    :param submitted_at: seconds since the epoch.
    :param deadline: seconds since the epoch.
    :param poll_interval: seconds between two questions; ``None`` = paced.
    :param estimated_time: EvoLink's estimate, in seconds.
    :param patience: seconds for which every question may fail.
    :param model: its model, whose earlier generations tell when to ask.
    :param credits_reserved: what EvoLink has reserved for it, for the log.
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
        super().__init__()  # type: ignore[no-untyped-call]
        self.evolink_conn_id = evolink_conn_id
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
        cls, watch: Watch, evolink_conn_id: str, *, credits_reserved: float | None = None
    ) -> EvoLinkGenerationTrigger:
        """Make a trigger from what is waited for."""
        return cls(evolink_conn_id=evolink_conn_id, credits_reserved=credits_reserved, **asdict(watch))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        path = "airflow_provider_evolink.triggers.evolink.EvoLinkGenerationTrigger"
        own = {"evolink_conn_id": self.evolink_conn_id, "credits_reserved": self.credits_reserved}
        return path, {**own, **asdict(self.watch)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        # Bound to the id alone: the poller outlives this trigger.
        poller = shared_poller(self.evolink_conn_id, partial(async_settings, self.evolink_conn_id))
        started = time.monotonic()
        stop = await poller.wait(self.watch, self._on_progress)
        self._has_failed = stop.outcome is Outcome.TERMINAL and stop.status != COMPLETED
        if self.task_instance is not None:
            await asyncio.sleep(_SETTLED_SECONDS - (time.monotonic() - started))
        yield TriggerEvent(event_payload(stop, self.watch.generation_id))  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """
        Say in the task's log what stays paid for and how to collect it; nothing is cancelled.

        Airflow 3.3 calls this also when a trigger moves to another triggerer (apache/airflow#73454), and a look-up of
        the task's state takes its first caller longer than Airflow waits: so what is said holds in every case.
        """
        if self._has_failed:
            # There is nothing to collect.
            return
        text = trigger_stopped(self.watch.generation_id, self.evolink_conn_id, cost=self.credits_reserved)
        self.log.warning("%s", text)

    def _on_progress(self, message: str) -> None:
        self.log.info("Generation %s: %s.", self.watch.generation_id, message)
