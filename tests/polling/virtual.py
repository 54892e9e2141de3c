# SPDX-License-Identifier: Apache-2.0
"""The real poller in simulated time: whenever the event loop is idle, its clock jumps to the next event.

Half an hour with a thousand generations takes a second, and is the same in every run. Only HTTP is left out: the
service is polled through the methods of a client.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from airflow_provider_evolink.api.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionLostError,
    EvoLinkError,
    GenerationNotFoundError,
    RateLimitedError,
)
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.polling.policy import StopPolling, Watch
from airflow_provider_evolink.polling.poller import Poller
from tests.limiters import Limiter, Unlimited

T = TypeVar("T")
EPOCH = 1_750_000_000.0


class _Selector(selectors.DefaultSelector):
    """A selector that jumps ahead instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Jump to the next scheduled event."""
        if timeout is None:
            raise RuntimeError("no event is scheduled")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while all tasks sleep."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the simulated seconds since the start."""
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run a function at once in this thread, so that no other thread affects the order of events."""
        future: asyncio.Future[T] = self.create_future()
        future.set_result(func(*args))
        return future


def run(main: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch, service: Service) -> T:
    """Run a coroutine in simulated time, with a seeded jitter and the service's client."""
    loop = VirtualLoop()
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: EPOCH + loop.time())
    for module in ("shared_client", "poll_loop", "poller", "waiter", "crowd"):
        monkeypatch.setattr(f"airflow_provider_evolink.polling.{module}.time", clock)
    monkeypatch.setattr("airflow_provider_evolink.polling.poll_loop.random", random.Random(1))
    monkeypatch.setattr(
        "airflow_provider_evolink.polling.shared_client._make_client", lambda settings: Client(service, settings)
    )
    service.now = loop.time
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
        service.ended_at = loop.time()
        return result


@dataclass
class Job:
    """A generation; all times are in simulated seconds since the start.

    :param polled: the times of all polls; ``noticed`` is the first one after its end.
    """

    number: int
    submitted: float
    ends: float
    noticed: float | None = None
    polled: list[float] = field(default_factory=list)
    stop: StopPolling | None = None

    @property
    def id(self) -> str:
        """The id of the generation."""
        return f"task-unified-{self.number:06}"

    @property
    def delay(self) -> float:
        """Seconds from its end to the poll that noticed it."""
        assert self.noticed is not None
        return self.noticed - self.ends

    def longest_gap(self, start: float, end: float) -> float:
        """Return the longest time without a poll."""
        times = [start, *(time for time in self.polled if start < time < end), end]
        return max(later - earlier for earlier, later in pairwise(times))


@dataclass
class Service:
    """An EvoLink with a rate limit, several accounts and failures.

    :param limits: rate limiters, each with the time from which it applies.
    :param takes_batches: whether one request may read many generations.
    :param accounts: the numbers of the generations that exist under each settings; empty = all exist under any.
    :param revoked_keys: API keys, with the time from which they are refused.
    :param gone_hosts: base URLs, with the time from which they do not respond.
    :param failure_at: returns the error that a request at this time fails with, if any.
    :param latency: seconds from a request to its response.
    :param accepted: the times of the requests within the rate limit; ``rejected`` of those that got a 429.
    """

    jobs: Sequence[Job]
    limits: list[tuple[float, Limiter]] = field(default_factory=lambda: [(0.0, Unlimited())])
    takes_batches: bool = True
    accounts: dict[Settings, set[int]] = field(default_factory=dict)
    revoked_keys: dict[str, float] = field(default_factory=dict)
    gone_hosts: dict[str, float] = field(default_factory=dict)
    failure_at: Callable[[float], EvoLinkError | None] = lambda _: None
    latency: float = 0.1
    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    now: Callable[[], float] = lambda: 0.0
    by_id: dict[str, Job] = field(init=False)
    clients: int = 0
    batches: int = 0
    singles: int = 0
    is_single_read: bool = False
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        """Index the jobs."""
        self.by_id = {job.id: job for job in self.jobs}

    def admit(self, settings: Settings) -> None:
        """Let a request pass, or raise its failure."""
        now = self.now()
        if now >= self.gone_hosts.get(settings.base_url, math.inf):
            raise ConnectionLostError("no response")
        if now >= self.revoked_keys.get(settings.api_key, math.inf):
            raise AuthenticationError("refused", status=401, code="unauthorized")
        if error := self.failure_at(now):
            raise error
        wait = [limiter for since, limiter in self.limits if now >= since][-1].take(now)
        if wait is None:
            self.accepted.append(now)
            return
        self.rejected.append(now)
        raise RateLimitedError("slow down", status=429, code="rate_limit_exceeded", retry_after=math.ceil(wait))

    def report(self, job: Job) -> Generation:
        """Return the state of a job."""
        now = self.now()
        job.polled.append(now)
        if now < job.ends:
            return Generation(job.id, "processing", model="m")
        job.noticed = job.noticed or now
        return Generation(job.id, "completed", model="m")

    def has(self, settings: Settings, generation_id: str) -> bool:
        """Return whether a generation exists in an account."""
        return not self.accounts or self.by_id[generation_id].number in self.accounts[settings]


@dataclass
class Client:
    """Poll the service as the real client does over HTTP."""

    service: Service
    settings: Settings

    def __post_init__(self) -> None:
        """Count the client."""
        self.service.clients += 1

    async def generation(self, generation_id: str) -> Generation:
        """Read one generation."""
        await self._send()
        self.service.singles, self.service.is_single_read = self.service.singles + 1, True
        if not self.service.has(self.settings, generation_id):
            raise GenerationNotFoundError("not found", status=404, code="task_not_found")
        return self.service.report(self.service.by_id[generation_id])

    async def generations(self, ids: Iterable[str]) -> dict[str, Generation]:
        """Read many generations with one request."""
        await self._send()
        self.service.batches, self.service.is_single_read = self.service.batches + 1, False
        if not self.service.takes_batches:
            raise BadRequestError("no such path", status=404)
        known = [generation_id for generation_id in ids if self.service.has(self.settings, generation_id)]
        return {generation_id: self.service.report(self.service.by_id[generation_id]) for generation_id in known}

    async def close(self) -> None:
        """Do nothing."""

    async def _send(self) -> None:
        await asyncio.sleep(self.service.latency)
        self.service.admit(self.settings)


async def wait_for(poller: Poller, job: Job, **changes: Any) -> Job:
    """Wait for a job from its submission on; ``changes`` are fields of its watch."""
    await asyncio.sleep(max(job.submitted - asyncio.get_running_loop().time(), 0.0))
    submitted_at = EPOCH + job.submitted
    fields: dict[str, Any] = {"deadline": submitted_at + 7200.0, "estimated_time": 120.0, "model": "m", **changes}
    job.stop = await poller.wait(Watch(job.id, submitted_at, **fields), lambda _: None)
    return job


async def always(settings: Settings = Settings()) -> Settings:  # noqa: B008 - settings are immutable
    """Look up a connection that does not change."""
    return settings


async def wait_for_all(service: Service, poller: Poller | None = None, **changes: Any) -> None:
    """Wait for all jobs with one poller."""
    shared = poller or Poller(always)
    await asyncio.gather(*(wait_for(shared, job, **changes) for job in service.jobs))
