# SPDX-License-Identifier: Apache-2.0
"""Poll all generations that are waited for in one event loop at one account, from a single loop.

The loop sleeps until generations are due, reads up to fifty with one request, keeps few requests in flight, and slows
down for all of them when EvoLink asks for it. That is how a thundering herd is avoided: polls carry jitter, those due
together share requests, resumed waits are spread, and a 429 pauses all polls. When to poll and when to stop is decided
in :mod:`~airflow_provider_evolink.polling.policy`, how fast in :mod:`~airflow_provider_evolink.polling.rate_limiter`,
in which order in :mod:`~airflow_provider_evolink.polling.due_queue`, and how many with one request in
:mod:`~airflow_provider_evolink.polling.batch_reader`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidResponseError, RateLimitedError
from airflow_provider_evolink.api.generation import COMPLETED
from airflow_provider_evolink.api.transports.base import MAX_POLL_CONNECTIONS
from airflow_provider_evolink.polling import policy, rate_limiter
from airflow_provider_evolink.polling.batch_reader import BatchReader
from airflow_provider_evolink.polling.due_queue import DueQueue
from airflow_provider_evolink.polling.policy import Outcome, PollAgain, StopPolling
from airflow_provider_evolink.polling.poll_plan import UNPLANNED, Durations, Plan
from airflow_provider_evolink.polling.rate_limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.polling.shared_client import SharedClient
    from airflow_provider_evolink.polling.waiter import Waiter

log = logging.getLogger(__name__)

# Eight requests for fifty generations each are plenty; where each is read on its own, a crowd needs more requests.
MAX_IN_FLIGHT, MAX_SINGLES_IN_FLIGHT = 8, MAX_POLL_CONNECTIONS
# Progress messages a second, of all waits for one connection; a new status is reported in any case.
MESSAGES_PER_SECOND = 5.0
_MAX_SLEEP = 60.0
# A loop that crashes again within this many seconds is not restarted.
_RESTART_INTERVAL = 10.0


class SharedHistory:
    """What all accounts of a connection share: how long models take, and a limit on progress messages."""

    def __init__(self) -> None:
        self.durations = Durations()
        self.message_limiter = RateLimiter(MESSAGES_PER_SECOND)


class PollLoop:
    """Poll generations of one account.

    :param shared_client: the account's client.
    :param history: shared with the other accounts of the connection.
    :param take_over: called with this loop, the waiters whose poll failed, and the failure; moves those that another
        account should poll, and returns the others.
    """

    def __init__(
        self,
        shared_client: SharedClient,
        history: SharedHistory,
        take_over: Callable[[PollLoop, Sequence[Waiter], EvoLinkError], Awaitable[Sequence[Waiter]]],
    ) -> None:
        self.shared_client = shared_client
        self._history = history
        self._take_over = take_over
        self._reader = BatchReader()
        self._rate_limiter = RateLimiter(assumed_limit=rate_limiter.DOCUMENTED_RATE)
        self._queue: DueQueue[Waiter] = DueQueue()
        self._waiters: set[Waiter] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._polls: set[asyncio.Task[None]] = set()
        # Whether the loop sleeps until a request ends; kept, since responses may change the limit of those in flight.
        self._is_full = False
        self._restarted_at = float("-inf")

    @property
    def is_idle(self) -> bool:
        """Whether no wait is left."""
        return not self._waiters

    def add(self, waiter: Waiter) -> None:
        """Poll a generation from now on."""
        delay = policy.first_delay(waiter.watch, self._plan(waiter), now=time.time(), jitter=random.random())
        waiter.poll_loop, waiter.is_known_here, waiter.needs_own_request = self, False, False
        self._waiters.add(waiter)
        self._enqueue(waiter, delay)
        self._start()

    def discard(self, waiter: Waiter) -> None:
        """Stop polling a generation."""
        self._waiters.discard(waiter)

    async def read(self, generation_id: str) -> Generation:
        """Read a generation on its own.

        :raises EvoLinkError: it could not be read.
        """
        return await self.shared_client.use(lambda client: client.generation(generation_id))

    async def close(self) -> None:
        """Stop the loop, and close the client."""
        self._reset()
        await self.shared_client.close()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(self._on_run_done)

    async def _run(self) -> None:
        while True:
            await self._wait_until_due()
            await self._wait_for_rate_limit()
            if waiters := self._pop_due():
                poll = asyncio.create_task(self._poll(waiters))
                self._polls.add(poll)
                poll.add_done_callback(self._on_poll_done)

    def _on_poll_done(self, poll: asyncio.Task[None]) -> None:
        self._polls.discard(poll)
        if self._is_full:
            self._wake.set()

    async def _wait_until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while (seconds := self._sleep_seconds(time.monotonic())) > 0:
            self._wake.clear()
            alarm = loop.call_later(seconds, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    async def _wait_for_rate_limit(self) -> None:
        while True:
            now = time.monotonic()
            self._rate_limiter.note_demand(self._queue.count_due(now) / self._reader.batch_size(now))
            # A response that arrives meanwhile may make the pause longer.
            if (pause := self._rate_limiter.reserve(now)) == 0:
                return
            await asyncio.sleep(pause)

    def _sleep_seconds(self, now: float) -> float:
        """Return how long the loop may sleep unless it is woken."""
        limit = MAX_IN_FLIGHT if self._reader.batch_size(now) > 1 else MAX_SINGLES_IN_FLIGHT
        self._is_full = len(self._polls) >= limit
        return _MAX_SLEEP if self._is_full else min(self._queue.next_due() - now, _MAX_SLEEP)

    def _pop_due(self) -> list[Waiter]:
        """Return the waiters to poll with one request; under a rate limit, those due soon fill up a batch."""
        now = time.monotonic()
        batch_size = self._reader.batch_size(now)
        ahead = 1.0 / self._rate_limiter.rate if batch_size > 1 and self._rate_limiter.is_limited else 0.0
        return [
            waiter
            for waiter in self._queue.pop_due(now, batch_size, ahead)
            if waiter.poll_loop is self and not waiter.future.done()
        ]

    async def _poll(self, waiters: Sequence[Waiter]) -> None:
        ids = list(dict.fromkeys(waiter.watch.generation_id for waiter in waiters))
        try:
            found = await self.shared_client.use(lambda client: self._reader.read(client, ids, now=time.monotonic()))
        except EvoLinkError as error:
            await self._on_failure(waiters, error)
        except Exception as error:
            log.exception("Unexpected error while polling %d generations.", len(ids))
            await self._on_failure(waiters, InvalidResponseError(f"Unexpected {type(error).__name__}: {error}."))
        else:
            self._rate_limiter.on_response(time.monotonic())
            self._on_response(waiters, found)

    def _on_response(self, waiters: Sequence[Waiter], found: Mapping[str, Generation]) -> None:
        now = time.monotonic()
        for waiter in waiters:
            generation = found.get(waiter.watch.generation_id)
            if generation is None:
                self._poll_alone(waiter)
                continue
            if waiter.needs_own_request:
                self._reader.distrust_batches(now)
            waiter.polled_at, waiter.needs_own_request, waiter.is_known_here = now, False, True
            self._take_step(waiter, self._next_step(waiter, generation))

    def _poll_alone(self, waiter: Waiter) -> None:
        waiter.needs_own_request = True
        self._queue.add_now(waiter)
        self._wake.set()

    def _next_step(self, waiter: Waiter, generation: Generation) -> PollAgain | StopPolling:
        now, plan = time.time(), self._plan(waiter, generation)
        if generation.status == COMPLETED and (model := generation.model or waiter.watch.model):
            duration = policy.observed_duration(waiter.watch, waiter.progress, generation, plan, now=now)
            if duration is not None:
                self._history.durations.learn(model, duration)
        return policy.after_response(waiter.watch, waiter.progress, generation, plan, now=now, jitter=random.random())

    def _plan(self, waiter: Waiter, generation: Generation | None = None) -> Plan:
        if waiter.watch.poll_interval is not None:
            return UNPLANNED
        model = (generation.model if generation else None) or waiter.watch.model
        estimate = waiter.watch.estimated_time or (generation.estimated_time if generation else None)
        return self._history.durations.plan(model, estimate)

    async def _on_failure(self, waiters: Sequence[Waiter], error: EvoLinkError) -> None:
        self._slow_down(error)
        for waiter in await self._take_over(self, waiters, error):
            waiter.needs_own_request = False
            if not isinstance(error, RateLimitedError):
                waiter.polled_at = time.monotonic()
            now, jitter = time.time(), random.random()
            self._take_step(waiter, policy.after_failure(waiter.watch, waiter.progress, error, now=now, jitter=jitter))

    def _slow_down(self, error: EvoLinkError) -> None:
        """Pause all polls for as long as EvoLink asks, and keep to its rate limit."""
        now = time.monotonic()
        if isinstance(error, RateLimitedError):
            if self._rate_limiter.on_rate_limited(now, error.retry_after):
                rate = 60 * self._rate_limiter.rate
                log.info("EvoLink rate limit reached: polling with at most %.3g requests per minute.", rate)
        elif error.retry_after is not None:
            self._rate_limiter.pause(now, error.retry_after)

    def _take_step(self, waiter: Waiter, step: PollAgain | StopPolling) -> None:
        if waiter.future.done():
            return
        if isinstance(step, StopPolling):
            waiter.end(step)
            return
        waiter.progress = step.progress
        if waiter.on_progress and step.message and self._may_report(step):
            waiter.report(step.message)
        self._enqueue(waiter, step.delay)

    def _may_report(self, step: PollAgain) -> bool:
        return step.is_urgent or self._history.message_limiter.try_acquire(time.monotonic())

    def _enqueue(self, waiter: Waiter, delay: float) -> None:
        waiter.schedule(delay)
        is_first = self._queue.add(waiter, time.monotonic() + delay)
        if is_first:
            self._wake.set()

    def _on_run_done(self, task: asyncio.Task[None]) -> None:
        """Restart a loop that has crashed; if it has just been restarted, end all waits, so that workers take over."""
        if task.cancelled() or self._task is not task:
            return
        log.error("The poll loop crashed.", exc_info=task.exception())
        waiters = self._waiters
        self._reset()
        now = time.monotonic()
        if now - self._restarted_at >= _RESTART_INTERVAL:
            self._restarted_at = now
            for waiter in waiters:
                self._enqueue(waiter, policy.RESTART_SPREAD_SECONDS * random.random())
            self._start()
        else:
            for waiter in waiters:
                status = waiter.progress.status
                self._take_step(waiter, StopPolling(Outcome.UNREACHABLE, status, "the poll loop crashed"))

    def _reset(self) -> None:
        run, self._task = self._task, None
        for task in (run, *self._polls):
            if task is not None:
                task.cancel()
        self._queue = DueQueue()
