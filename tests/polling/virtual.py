"""
The real poller in an event loop without a clock: whenever nothing is left to do, the next moment is now.

Half an hour with a thousand generations takes a second, and is the same in every run. Only HTTP is left out: the
service is asked through the client's methods.
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
    """Never waits: it lets the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass until something is planned."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody sleeps."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run it here and now, so that no thread decides how long it takes."""
        future: asyncio.Future[T] = self.create_future()
        future.set_result(func(*args))
        return future


def run(main: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch, service: Service) -> T:
    """Run something with the poller's own clock, chance and client replaced."""
    loop = VirtualLoop()
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: EPOCH + loop.time())
    for module in ("shared_client", "poll_loop", "poller", "waiter"):
        monkeypatch.setattr(f"airflow_provider_evolink.polling.{module}.time", clock)
    monkeypatch.setattr("airflow_provider_evolink.polling.poll_loop.random", random.Random(1))
    monkeypatch.setattr(
        "airflow_provider_evolink.polling.shared_client._light_client", lambda settings: Client(service, settings)
    )
    service.now = loop.time
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
        service.ended_at = loop.time()
        return result


@dataclass
class Job:
    """A generation: when it was submitted and when it ends, in seconds since the beginning."""

    number: int
    submitted: float
    ends: float
    noticed: float | None = None
    asked: list[float] = field(default_factory=list)
    stop: StopPolling | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return f"task-unified-{self.number:06}"

    @property
    def delay(self) -> float:
        """Seconds from its end to the question that noticed it."""
        assert self.noticed is not None
        return self.noticed - self.ends

    def longest_silence(self, start: float, end: float) -> float:
        """The longest time for which it was not asked about."""
        moments = [start, *(at for at in self.asked if start < at < end), end]
        return max(later - earlier for earlier, later in pairwise(moments))


@dataclass
class Service:
    """An EvoLink that limits questions."""

    jobs: Sequence[Job]
    limits: list[tuple[float, Limiter]] = field(default_factory=lambda: [(0.0, Unlimited())])
    takes_batches: bool = True
    # Settings by which it is reached, and the numbers that it knows under each; everything under any if there are none.
    accounts: dict[Settings, set[int]] = field(default_factory=dict)
    # From when on keys are refused, and hosts give no answer.
    refused_keys: dict[str, float] = field(default_factory=dict)
    gone_hosts: dict[str, float] = field(default_factory=dict)
    failing: Callable[[float], EvoLinkError | None] = lambda _: None
    latency: float = 0.1
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    now: Callable[[], float] = lambda: 0.0
    by_id: dict[str, Job] = field(init=False)
    clients: int = 0
    batches: int = 0
    singles: int = 0
    is_single: bool = False
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        """Sort the jobs."""
        self.by_id = {job.id: job for job in self.jobs}

    def take(self, settings: Settings) -> None:
        """Let a request pass, or turn it away."""
        now = self.now()
        if now >= self.gone_hosts.get(settings.base_url, math.inf):
            raise ConnectionLostError("nobody answers")
        if now >= self.refused_keys.get(settings.api_key, math.inf):
            raise AuthenticationError("refused", status=401, code="unauthorized")
        if error := self.failing(now):
            raise error
        wait = [limiter for since, limiter in self.limits if now >= since][-1].take(now)
        if wait is None:
            self.answered.append(now)
            return
        self.refused.append(now)
        raise RateLimitedError("slow down", status=429, code="rate_limit_exceeded", retry_after=math.ceil(wait))

    def tell(self, job: Job) -> Generation:
        """Tell how far a job is."""
        now = self.now()
        job.asked.append(now)
        if now < job.ends:
            return Generation(job.id, "processing", model="m")
        job.noticed = job.noticed or now
        return Generation(job.id, "completed", model="m")

    def knows(self, settings: Settings, generation_id: str) -> bool:
        """Whether an account has the generation."""
        return not self.accounts or self.by_id[generation_id].number in self.accounts[settings]


@dataclass
class Client:
    """Asks the service, as the client does over HTTP."""

    service: Service
    settings: Settings

    def __post_init__(self) -> None:
        """Count it."""
        self.service.clients += 1

    async def generation(self, generation_id: str) -> Generation:
        """Ask about one."""
        await self._travel()
        self.service.singles, self.service.is_single = self.service.singles + 1, True
        if not self.service.knows(self.settings, generation_id):
            raise GenerationNotFoundError("not found", status=404, code="task_not_found")
        return self.service.tell(self.service.by_id[generation_id])

    async def generations(self, ids: Iterable[str]) -> dict[str, Generation]:
        """Ask about many."""
        await self._travel()
        self.service.batches, self.service.is_single = self.service.batches + 1, False
        if not self.service.takes_batches:
            raise BadRequestError("no such path", status=404)
        known = [one for one in ids if self.service.knows(self.settings, one)]
        return {one: self.service.tell(self.service.by_id[one]) for one in known}

    async def close(self) -> None:
        """Close nothing."""

    async def _travel(self) -> None:
        await asyncio.sleep(self.service.latency)
        self.service.take(self.settings)


async def wait_for(poller: Poller, job: Job, **changes: Any) -> Job:
    """Wait for a job from its submission on."""
    await asyncio.sleep(max(job.submitted - asyncio.get_running_loop().time(), 0.0))
    begin = EPOCH + job.submitted
    given: dict[str, Any] = {"deadline": begin + 7200.0, "estimated_time": 120.0, "model": "m", **changes}
    job.stop = await poller.wait(Watch(job.id, begin, **given), lambda _: None)
    return job


async def always(settings: Settings = Settings()) -> Settings:  # noqa: B008 - it can't be changed
    """The look-up of a connection that does not change."""
    return settings


async def wait_for_all(service: Service, poller: Poller | None = None, **changes: Any) -> None:
    """Wait for all jobs with one poller."""
    shared = poller or Poller(always)
    await asyncio.gather(*(wait_for(shared, job, **changes) for job in service.jobs))
