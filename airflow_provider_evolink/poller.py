# SPDX-License-Identifier: Apache-2.0
"""
The waiting: one loop for each event loop and connection asks for all generations that are waited for.

A wait is a future that the loop fulfils. The loop sleeps until some are due, takes up to fifty of them into one
request, keeps few requests in flight, and slows down for everybody when EvoLink says so. What is asked when, and when
to stop, is decided in :mod:`~airflow_provider_evolink.api.pacing`; how many fit into a request, in
:mod:`~airflow_provider_evolink.api.reader`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_evolink.account import Account, Lookup
from airflow_provider_evolink.api import pacing
from airflow_provider_evolink.api.errors import ApiError, EvoLinkError, MalformedAnswerError, RateLimitedError
from airflow_provider_evolink.api.generation import COMPLETED
from airflow_provider_evolink.api.pacing import Ask, Outcome, Progress, Stop, Watch
from airflow_provider_evolink.api.reader import Reader
from airflow_provider_evolink.api.schedule import UNPLANNED, Durations, Plan
from airflow_provider_evolink.api.throttle import Throttle
from airflow_provider_evolink.api.transport import LIGHT_CONNECTIONS
from airflow_provider_evolink.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_evolink.api.generation import Generation

log = logging.getLogger(__name__)

Tell = Callable[[str], None]

# Eight requests for fifty each are plenty; where each generation is read by itself, a crowd needs more of them.
MAX_IN_FLIGHT, MAX_SINGLES_IN_FLIGHT = 8, LIGHT_CONNECTIONS
# Lines about progress in one process; a changed status is told in any case.
LINES_PER_SECOND = 5.0
_LONGEST_SLEEP = 60.0
_REBUILD_SECONDS = 10.0


class _Wait:
    """One generation that is waited for."""

    __slots__ = ("context", "future", "progress", "tell", "was_left_out", "watch")

    def __init__(self, watch: Watch, tell: Tell) -> None:
        self.watch = watch
        self.tell = tell
        self.progress = Progress()
        self.future: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        # The loop runs in no wait's context, and a line must come into the log of the wait that it is about.
        self.context = contextvars.copy_context()
        self.was_left_out = False


class Poller:
    """
    Waits for generations of one account.

    :param lookup: finds the account's settings; called once, and once more when the key is refused.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._account = Account(lookup)
        self._reader = Reader()
        self._durations = Durations()
        self._throttle = Throttle()
        self._lines = Throttle(LINES_PER_SECOND)
        self._wheel: Wheel[_Wait] = Wheel()
        self._left_out: deque[_Wait] = deque()
        self._waits: set[_Wait] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        # Whether the loop sleeps because enough is under way; where answers change the limit, that can't be told later.
        self._is_full = False
        self._rebuilt_at = float("-inf")

    async def wait(self, watch: Watch, tell: Tell) -> Stop:
        """
        Ask about a generation until it is final, its deadline has come or it can't be asked about any more.

        :param tell: is given a line whenever something has changed.
        :return: why the waiting ended; it never raises an error of EvoLink's.
        """
        one = _Wait(watch, tell)
        self._waits.add(one)
        self._hold(one, pacing.first_delay(watch, self._plan(one), now=time.time(), chance=random.random()))
        self._begin()
        try:
            return await one.future
        finally:
            self._waits.discard(one)
            if not self._waits:
                await self._close()

    def _begin(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            self._loop.add_done_callback(self._ended)

    async def _run(self) -> None:
        while True:
            await self._until_due()
            if pause := self._throttle.reserve(time.monotonic()):
                await asyncio.sleep(pause)
            if waits := self._due():
                asking = asyncio.create_task(self._ask(waits))
                self._asking.add(asking)
                asking.add_done_callback(self._has_asked)

    def _has_asked(self, asking: asyncio.Task[None]) -> None:
        self._asking.discard(asking)
        if self._is_full:
            self._wake.set()

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._seconds_left(time.monotonic())) > 0:
            self._wake.clear()
            alarm = loop.call_later(left, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    def _seconds_left(self, now: float) -> float:
        """Return how long the loop may sleep if nobody wakes it."""
        most = MAX_IN_FLIGHT if self._reader.width(now) > 1 else MAX_SINGLES_IN_FLIGHT
        self._is_full = len(self._asking) >= most
        if self._is_full:
            return _LONGEST_SLEEP
        return 0.0 if self._left_out else min(self._wheel.next_due() - now, _LONGEST_SLEEP)

    def _due(self) -> list[_Wait]:
        """Take those to be asked about with one request; those that a batch left out come first, each by itself."""
        now = time.monotonic()
        taken = [self._left_out.popleft()] if self._left_out else self._wheel.take(now, self._reader.width(now))
        return [one for one in taken if not one.future.done()]

    async def _ask(self, waits: Sequence[_Wait]) -> None:
        ids = list(dict.fromkeys(one.watch.generation_id for one in waits))
        try:
            found = await self._account.use(lambda client: self._reader.read(client, ids, now=time.monotonic()))
        except EvoLinkError as error:
            self._failed(waits, error)
        except Exception as error:
            log.exception("A question for %d generations has failed in a way that it should not.", len(ids))
            self._failed(waits, MalformedAnswerError(f"The question failed ({type(error).__name__}: {error})."))
        else:
            self._throttle.speed_up()
            self._answered(waits, found)

    def _answered(self, waits: Sequence[_Wait], found: Mapping[str, Generation]) -> None:
        for one in waits:
            seen = found.get(one.watch.generation_id)
            if seen is None:
                one.was_left_out = True
                self._left_out.append(one)
                self._wake.set()
                continue
            if one.was_left_out:
                one.was_left_out = False
                self._reader.has_left_out(time.monotonic())
            self._step(one, self._after(one, seen))

    def _after(self, one: _Wait, seen: Generation) -> Ask | Stop:
        now, plan = time.time(), self._plan(one, seen)
        if seen.status == COMPLETED and (model := seen.model or one.watch.model):
            took = pacing.took(one.watch, one.progress, seen, plan, now=now)
            if took is not None:
                self._durations.learn(model, took)
        return pacing.after_answer(one.watch, one.progress, seen, plan, now=now, chance=random.random())

    def _plan(self, one: _Wait, seen: Generation | None = None) -> Plan:
        if one.watch.poll_interval is not None:
            return UNPLANNED
        model = (seen.model if seen else None) or one.watch.model
        return self._durations.plan(model, one.watch.estimated_time or (seen.estimated_time if seen else None))

    def _failed(self, waits: Sequence[_Wait], error: EvoLinkError) -> None:
        told = error.retry_after if isinstance(error, ApiError) else None
        if told is not None or isinstance(error, RateLimitedError):
            self._throttle.slow_down(time.monotonic(), told)
        for one in waits:
            one.was_left_out = False
            now, chance = time.time(), random.random()
            self._step(one, pacing.after_failure(one.watch, one.progress, error, now=now, chance=chance))

    def _step(self, one: _Wait, step: Ask | Stop) -> None:
        if one.future.done():
            return
        if isinstance(step, Stop):
            one.future.set_result(step)
            return
        one.progress = step.progress
        if step.news and (step.is_urgent or self._lines.admits(time.monotonic())):
            with suppress(Exception):
                one.context.run(one.tell, step.news)
        self._hold(one, step.delay)

    def _hold(self, one: _Wait, delay: float) -> None:
        is_first = self._wheel.add(one, time.monotonic() + delay)
        if is_first:
            self._wake.set()

    def _ended(self, loop: asyncio.Task[None]) -> None:
        """Build a loop that has failed anew, or, if that has just been done, let workers look for themselves."""
        if loop.cancelled() or self._loop is not loop:
            return
        log.error("The loop that asks about generations has failed.", exc_info=loop.exception())
        waits = self._waits
        self._reset()
        now = time.monotonic()
        if now - self._rebuilt_at >= _REBUILD_SECONDS:
            self._rebuilt_at = now
            for one in waits:
                self._hold(one, pacing.RESTART_SECONDS * random.random())
            self._begin()
        else:
            for one in waits:
                self._step(one, Stop(Outcome.UNREACHABLE, one.progress.status, "the asking itself failed"))

    def _reset(self) -> None:
        loop, self._loop = self._loop, None
        for task in (loop, *self._asking):
            if task is not None:
                task.cancel()
        self._wheel, self._left_out = Wheel(), deque()

    async def _close(self) -> None:
        self._reset()
        await self._account.close()


_BY_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


def shared_poller(conn_id: str, lookup: Lookup) -> Poller:
    """Return the running loop's poller for a connection."""
    pollers = _BY_LOOP.setdefault(asyncio.get_running_loop(), {})
    if conn_id not in pollers:
        pollers[conn_id] = Poller(lookup)
    return pollers[conn_id]
