# SPDX-License-Identifier: Apache-2.0
"""
The asking: one loop for each event loop and account asks about all generations that are waited for there.

The loop sleeps until some are due, takes up to fifty of them into one request, keeps few requests in flight, and slows
down for everybody when EvoLink says so. What is asked when, and when to stop, is decided in
:mod:`~airflow_provider_evolink.polling.policy`; how fast, in :mod:`~airflow_provider_evolink.polling.rate_limiter`; whose turn it
is, in :mod:`~airflow_provider_evolink.polling.due_queue`; how many fit into a request, in
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

from airflow_provider_evolink.api.errors import ApiError, EvoLinkError, InvalidResponseError, RateLimitedError
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

# Eight requests for fifty each are plenty; where each generation is read by itself, a crowd needs more of them.
MAX_IN_FLIGHT, MAX_SINGLES_IN_FLIGHT = 8, MAX_POLL_CONNECTIONS
# Lines about progress in one process; a changed status is told in any case.
LINES_PER_SECOND = 5.0
_LONGEST_SLEEP = 60.0
_REBUILD_SECONDS = 10.0


class SharedHistory:
    """What does not depend on the account: how long models take, and how much may be logged."""

    def __init__(self) -> None:
        self.durations = Durations()
        self.lines = RateLimiter(LINES_PER_SECOND)


class PollLoop:
    """
    Asks about generations of one account.

    :param account: whose they are.
    :param memory: shared with other accounts of the connection.
    :param hand_on: given those about whom a question has failed, and the failure, it takes those that another account
        is to be asked about, and returns the others.
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
        self._rate_limiter = RateLimiter(assumed=rate_limiter.DOCUMENTED)
        self._queue: DueQueue[Waiter] = DueQueue()
        self._waiters: set[Waiter] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._polls: set[asyncio.Task[None]] = set()
        # Whether the loop sleeps because enough is under way; where answers change the limit, that can't be told later.
        self._is_full = False
        self._rebuilt_at = float("-inf")

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits here."""
        return not self._waiters

    def add(self, waiter: Waiter) -> None:
        """Ask about a generation from now on."""
        delay = policy.first_delay(waiter.watch, self._plan(waiter), now=time.time(), jitter=random.random())
        waiter.poll_loop, waiter.is_known_here, waiter.needs_own_request = self, False, False
        self._waiters.add(waiter)
        self._enqueue(waiter, delay)
        self._start()

    def discard(self, waiter: Waiter) -> None:
        """Ask about it no more."""
        self._waiters.discard(waiter)

    async def close(self) -> None:
        """Stop, and close the client."""
        self._reset()
        await self.shared_client.close()

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            self._loop.add_done_callback(self._on_loop_done)

    async def _run(self) -> None:
        while True:
            await self._wait_until_due()
            await self._wait_for_permission()
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
        while (left := self._seconds_left(time.monotonic())) > 0:
            self._wake.clear()
            alarm = loop.call_later(left, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    async def _wait_for_permission(self) -> None:
        while True:
            now = time.monotonic()
            self._rate_limiter.note_demand(self._queue.count_due(now) / self._reader.batch_size(now))
            # An answer that arrives while it sleeps may make the pause longer.
            if (pause := self._rate_limiter.reserve(now)) == 0:
                return
            await asyncio.sleep(pause)

    def _seconds_left(self, now: float) -> float:
        """Return how long the loop may sleep if nobody wakes it."""
        most = MAX_IN_FLIGHT if self._reader.batch_size(now) > 1 else MAX_SINGLES_IN_FLIGHT
        self._is_full = len(self._polls) >= most
        return _LONGEST_SLEEP if self._is_full else min(self._queue.next_due() - now, _LONGEST_SLEEP)

    def _pop_due(self) -> list[Waiter]:
        """Take those to be asked about with one request; where requests are rationed, none goes half empty."""
        now = time.monotonic()
        width = self._reader.batch_size(now)
        ahead = 1.0 / self._rate_limiter.rate if width > 1 and self._rate_limiter.is_limited else 0.0
        return [
            waiter
            for waiter in self._queue.pop_due(now, width, ahead)
            if waiter.poll_loop is self and not waiter.future.done()
        ]

    async def _poll(self, waiters: Sequence[Waiter]) -> None:
        ids = list(dict.fromkeys(waiter.watch.generation_id for waiter in waiters))
        try:
            found = await self.shared_client.use(lambda client: self._reader.read(client, ids, now=time.monotonic()))
        except EvoLinkError as error:
            await self._on_failure(waiters, error)
        except Exception as error:
            log.exception("A question for %d generations has failed in a way that it should not.", len(ids))
            await self._on_failure(
                waiters, InvalidResponseError(f"The question failed ({type(error).__name__}: {error}).")
            )
        else:
            self._rate_limiter.on_response(time.monotonic())
            self._on_response(waiters, found)

    def _on_response(self, waiters: Sequence[Waiter], found: Mapping[str, Generation]) -> None:
        now = time.monotonic()
        for waiter in waiters:
            generation = found.get(waiter.watch.generation_id)
            if generation is None:
                self._poll_singly(waiter)
                continue
            if waiter.needs_own_request:
                self._reader.distrust_batches(now)
            waiter.polled_at, waiter.needs_own_request, waiter.is_known_here = now, False, True
            self._take_step(waiter, self._next_step(waiter, generation))

    def _poll_singly(self, waiter: Waiter) -> None:
        waiter.needs_own_request = True
        self._queue.add_now(waiter)
        self._wake.set()

    def _next_step(self, waiter: Waiter, generation: Generation) -> PollAgain | StopPolling:
        now, plan = time.time(), self._plan(waiter, generation)
        if generation.status == COMPLETED and (model := generation.model or waiter.watch.model):
            took = policy.observed_duration(waiter.watch, waiter.progress, generation, plan, now=now)
            if took is not None:
                self._history.durations.learn(model, took)
        return policy.after_response(waiter.watch, waiter.progress, generation, plan, now=now, jitter=random.random())

    def _plan(self, waiter: Waiter, generation: Generation | None = None) -> Plan:
        if waiter.watch.poll_interval is not None:
            return UNPLANNED
        model = (generation.model if generation else None) or waiter.watch.model
        estimate = waiter.watch.estimated_time or (generation.estimated_time if generation else None)
        return self._history.durations.plan(model, estimate)

    async def _on_failure(self, waiters: Sequence[Waiter], error: EvoLinkError) -> None:
        self._respect_limits(error)
        for waiter in await self._take_over(self, waiters, error):
            waiter.needs_own_request = False
            if not isinstance(error, RateLimitedError):
                waiter.polled_at = time.monotonic()
            now, chance = time.time(), random.random()
            self._take_step(waiter, policy.after_failure(waiter.watch, waiter.progress, error, now=now, jitter=chance))

    def _respect_limits(self, error: EvoLinkError) -> None:
        """Let nobody ask for as long as EvoLink says, nor more often than it lets anybody."""
        now, retry_after = time.monotonic(), error.retry_after if isinstance(error, ApiError) else None
        if isinstance(error, RateLimitedError):
            if self._rate_limiter.on_rate_limited(now, retry_after):
                log.info(
                    "EvoLink rations questions; at most %.3g a minute are asked now.", 60 * self._rate_limiter.rate
                )
        elif retry_after is not None:
            self._rate_limiter.pause(now, retry_after)

    def _take_step(self, waiter: Waiter, step: PollAgain | StopPolling) -> None:
        if waiter.future.done():
            return
        if isinstance(step, StopPolling):
            waiter.end(step)
            return
        waiter.progress = step.progress
        if step.message and (step.is_urgent or self._history.lines.try_acquire(time.monotonic())):
            waiter.report(step.message)
        self._enqueue(waiter, step.delay)

    def _enqueue(self, waiter: Waiter, delay: float) -> None:
        waiter.schedule(delay)
        is_first = self._queue.add(waiter, time.monotonic() + delay)
        if is_first:
            self._wake.set()

    def _on_loop_done(self, loop: asyncio.Task[None]) -> None:
        """Build a loop that has failed anew, or, if that has just been done, let workers look for themselves."""
        if loop.cancelled() or self._loop is not loop:
            return
        log.error("The loop that asks about generations has failed.", exc_info=loop.exception())
        waiters = self._waiters
        self._reset()
        now = time.monotonic()
        if now - self._rebuilt_at >= _REBUILD_SECONDS:
            self._rebuilt_at = now
            for waiter in waiters:
                self._enqueue(waiter, policy.RESTART_SECONDS * random.random())
            self._start()
        else:
            for waiter in waiters:
                self._take_step(
                    waiter, StopPolling(Outcome.UNREACHABLE, waiter.progress.status, "the asking itself failed")
                )

    def _reset(self) -> None:
        loop, self._loop = self._loop, None
        for task in (loop, *self._polls):
            if task is not None:
                task.cancel()
        self._queue = DueQueue()
