# SPDX-License-Identifier: Apache-2.0
"""Triggers to compare with: one that only sleeps, and one as a good programmer would write it in an afternoon."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from airflow.triggers.base import BaseTrigger, TriggerEvent

from benchmarks.endpoint import PORT_VARIABLE
from benchmarks.jobs import job_of_id

_POOL = 200
_KEEP_ALIVE = 75.0
_session: aiohttp.ClientSession | None = None


class IdleTrigger(BaseTrigger):
    """Sleep until some time after the end of its job: the overhead of Airflow itself.

    :param wakes_at: seconds since the epoch.
    """

    def __init__(self, wakes_at: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wakes_at = wakes_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to recreate this trigger."""
        return "benchmarks.reference_triggers.IdleTrigger", {"wakes_at": self.wakes_at}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep."""
        await asyncio.sleep(self.wakes_at - time.time())
        yield TriggerEvent(True)  # type: ignore[no-untyped-call]


class SharedSessionTrigger(BaseTrigger):
    """Poll with one aiohttp session for all triggers, and a coroutine and a sleep for each: the prototype to beat.

    :param generation_id: the generation to wait for.
    :param poll_interval: seconds.
    """

    def __init__(self, generation_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generation_id = generation_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to recreate this trigger."""
        path = "benchmarks.reference_triggers.SharedSessionTrigger"
        return path, {"generation_id": self.generation_id, "poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until it is completed."""
        url = f"https://127.0.0.1:{os.environ[PORT_VARIABLE]}/v1/tasks/{self.generation_id}"
        while True:
            async with shared_session().get(url) as response:
                generation = await response.json()
            if generation["status"] == "completed":
                yield TriggerEvent({"generation_id": generation["id"]})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_interval)


def shared_session() -> aiohttp.ClientSession:
    """Return the only session of this process, which stays open until it exits."""
    global _session  # noqa: PLW0603 - that it is shared is the point
    if _session is None:
        connector = aiohttp.TCPConnector(
            limit=_POOL,
            keepalive_timeout=_KEEP_ALIVE,
            ssl=ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"]),
        )
        _session = aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer none-at-all"})
    return _session


def idle(generation_id: str) -> IdleTrigger:
    """Return an idle trigger that wakes when a fixed interval of ten seconds would have noticed the end of its job.

    Wake-ups are rounded to a tenth of a second, so that many coincide: otherwise they would be most of the cost.
    """
    return IdleTrigger(math.ceil((job_of_id(generation_id).ends_at + 5.0) * 10) / 10)
