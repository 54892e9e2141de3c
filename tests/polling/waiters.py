"""A small EvoLink, its look-up, and waits for it: what the tests of the poller share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.polling.poller import Poller
from tests.loopback import Loopback, ReceivedRequest, Write, http_response

OLD, NEW = "sk-old-key-0001", "sk-new-key-0002"


@dataclass
class Service:
    """A small EvoLink that takes one key, and finishes everything at once when told."""

    key: str = OLD
    is_done: bool = False
    batch: bytes | None = None
    left_out: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    slow_down: float | None = None
    server: Loopback = field(init=False)

    async def answer(self, request: ReceivedRequest, write: Write) -> None:
        """Tell about a generation, or refuse the key."""
        await asyncio.sleep(0.005)
        if request.headers["authorization"] != f"Bearer {self.key}":
            await write(http_response({"error": {"code": "unauthorized", "message": "Authentication required"}}, 401))
        elif self.slow_down is not None:
            await write(http_response({"error": {"code": "rate_limit_exceeded"}}, 429, Retry_After=str(self.slow_down)))
            self.slow_down = None
        elif request.method == "POST":
            known = [one for one in json.loads(request.body)["task_ids"] if one not in self.left_out | self.gone]
            await write(self.batch or http_response({"data": [self._told(one) for one in known]}))
        elif (generation_id := request.target.rpartition("/")[2]) in self.gone:
            await write(http_response({"error": {"code": "task_not_found", "message": "not found"}}, 404))
        else:
            await write(http_response(self._told(generation_id)))

    def _told(self, generation_id: str) -> dict[str, Any]:
        return {"id": generation_id, "status": "completed" if self.is_done else "processing", "progress": 7}

    @property
    def batches(self) -> int:
        """How many requests were for many generations."""
        return sum(request.method == "POST" for request in self.server.requests)

    @property
    def singles(self) -> int:
        """How many were for one."""
        return len(self.server.requests) - self.batches


@dataclass
class Lookup:
    """Looks the account up, slowly, and counts how often; what is planned is raised or done first."""

    url: str
    keys: list[str] = field(default_factory=lambda: [OLD])
    planned: list[Exception] = field(default_factory=list)
    seconds: float = 0.02
    count: int = 0

    async def __call__(self) -> Settings:
        """Return the settings of this moment."""
        self.count += 1
        await asyncio.sleep(self.seconds)
        if self.planned:
            raise self.planned.pop(0)
        return Settings(base_url=self.url, api_key=self.keys[min(self.count, len(self.keys)) - 1])


DONE = {StopPolling(Outcome.TERMINAL, "completed")}


def watch(number: int = 0, *, seconds: float = 60, poll_interval: float = 0.05, **changes: Any) -> Watch:
    """Wait for a generation, asking every 50 ms unless told otherwise."""
    now = time.time()
    return Watch(f"task-unified-{number:04}", now, now + seconds, poll_interval=poll_interval, **changes)


async def wait(poller: Poller, one: Watch, tell: Callable[[str], None] = lambda _: None) -> StopPolling:
    """Wait as a trigger does."""
    return await poller.wait(one, tell)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)
