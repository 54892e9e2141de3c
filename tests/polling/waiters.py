# SPDX-License-Identifier: Apache-2.0
"""A small EvoLink on a loopback server, a lookup that leads to it, and waits for its generations."""

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
from airflow_provider_evolink.polling.waiter import OnProgress
from tests.loopback import Loopback, ReceivedRequest, Write, http_response

OLD, NEW = "sk-old-key-0001", "sk-new-key-0002"


@dataclass
class Service:
    """A small EvoLink that accepts one API key.

    :param key: the API key that it accepts.
    :param is_done: whether all generations are completed.
    :param batch: the response to every batch; ``None`` = the generations.
    :param left_out: ids that batches leave out, although they exist.
    :param gone: ids that do not exist.
    :param slow_down: Retry-After of the next response, which is a 429.
    """

    key: str = OLD
    is_done: bool = False
    batch: bytes | None = None
    left_out: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    slow_down: float | None = None
    server: Loopback = field(init=False)

    async def respond(self, request: ReceivedRequest, write: Write) -> None:
        """Report on generations, or refuse the request."""
        await asyncio.sleep(0.005)
        if request.headers["authorization"] != f"Bearer {self.key}":
            await write(http_response({"error": {"code": "unauthorized", "message": "Authentication required"}}, 401))
        elif self.slow_down is not None:
            await write(http_response({"error": {"code": "rate_limit_exceeded"}}, 429, Retry_After=str(self.slow_down)))
            self.slow_down = None
        elif request.method == "POST":
            missing = self.left_out | self.gone
            known = [identity for identity in json.loads(request.body)["task_ids"] if identity not in missing]
            await write(self.batch or http_response({"data": [self._report(identity) for identity in known]}))
        elif (generation_id := request.target.rpartition("/")[2]) in self.gone:
            await write(http_response({"error": {"code": "task_not_found", "message": "not found"}}, 404))
        else:
            await write(http_response(self._report(generation_id)))

    def _report(self, generation_id: str) -> dict[str, Any]:
        return {"id": generation_id, "status": "completed" if self.is_done else "processing", "progress": 7}

    @property
    def requests(self) -> int:
        """The number of requests."""
        return len(self.server.requests)

    @property
    def batches(self) -> int:
        """The number of requests for many generations."""
        return sum(request.method == "POST" for request in self.server.requests)

    @property
    def singles(self) -> int:
        """The number of requests for one generation."""
        return self.requests - self.batches


@dataclass
class Lookup:
    """Look the account up, slowly.

    :param keys: the API keys of successive lookups; the last one repeats.
    :param errors: raised by the first lookups.
    :param seconds: the duration of a lookup.
    :param count: the number of lookups so far.
    """

    url: str
    keys: list[str] = field(default_factory=lambda: [OLD])
    errors: list[Exception] = field(default_factory=list)
    seconds: float = 0.02
    count: int = 0

    async def __call__(self) -> Settings:
        """Return the current settings."""
        self.count += 1
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return Settings(base_url=self.url, api_key=self.keys[min(self.count, len(self.keys)) - 1])


COMPLETED = StopPolling(Outcome.TERMINAL, "completed")
# The service's progress as it is reported to a wait.
PROGRESS_MESSAGE = "processing, 7%"


def ignore(_: str) -> None:
    """Ignore progress messages."""


def watch(number: int = 0, *, seconds: float = 60, poll_interval: float = 0.05, **changes: Any) -> Watch:
    """A wait for a generation, which is polled every 50 ms by default."""
    now = time.time()
    return Watch(f"task-unified-{number:04}", now, now + seconds, poll_interval=poll_interval, **changes)


def start_wait(poller: Poller, watch: Watch, on_progress: OnProgress = ignore) -> asyncio.Task[StopPolling]:
    """Wait in a task of its own, as a trigger does."""
    return asyncio.create_task(poller.wait(watch, on_progress))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the condition becomes true in another thread
            await asyncio.sleep(0.01)
