# SPDX-License-Identifier: Apache-2.0
"""What the triggers share: one poller for each connection, and exactly one event, not too soon."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_evolink.hooks.evolink import async_settings
from airflow_provider_evolink.polling.poller import Poller, shared_poller

# Airflow notices up to 5 s late that a worker has exited after its task deferred. A task that is resumed before that is
# taken for crashed (apache/airflow#71580), so no event may be sent sooner. Outside a triggerer there is nothing to wait
# for.
_SETTLED_SECONDS = 6.0


class EvoLinkBaseTrigger(BaseTrigger):
    """Base of every trigger that polls generations; nothing is ever submitted.

    :param evolink_conn_id: connection of type ``evolink`` or ``http``.
    """

    def __init__(self, evolink_conn_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.evolink_conn_id = evolink_conn_id

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the wait is over, then yield the event."""
        # Bound to the connection id alone: the poller outlives this trigger.
        poller = shared_poller(self.evolink_conn_id, partial(async_settings, self.evolink_conn_id))
        started = time.monotonic()
        payload = await self._wait(poller)
        if self.task_instance is not None:
            await asyncio.sleep(_SETTLED_SECONDS - (time.monotonic() - started))
        yield await self._event(payload)

    @abstractmethod
    async def _wait(self, poller: Poller) -> dict[str, Any]:
        """Wait, and return the payload of the event."""

    async def _event(self, payload: dict[str, Any]) -> TriggerEvent:
        """Return the event, which resumes the task on a worker."""
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]
