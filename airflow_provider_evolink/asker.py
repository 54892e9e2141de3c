# SPDX-License-Identifier: Apache-2.0
"""
The asking: one loop for each event loop and account asks about all generations that are waited for there.

The loop sleeps until some are due, takes up to fifty of them into one request, keeps few requests in flight, and slows
down for everybody when EvoLink says so. What is asked when, and when to stop, is decided in
:mod:`~airflow_provider_evolink.api.pacing`; how fast, in :mod:`~airflow_provider_evolink.api.throttle`; whose turn it
is, in :mod:`~airflow_provider_evolink.turns`; how many fit into a request, in
:mod:`~airflow_provider_evolink.api.reader`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_evolink.api import pacing, throttle
from airflow_provider_evolink.api.errors import ApiError, EvoLinkError, MalformedAnswerError, RateLimitedError
from airflow_provider_evolink.api.generation import COMPLETED
from airflow_provider_evolink.api.pacing import Ask, Outcome, Stop
from airflow_provider_evolink.api.reader import Reader
from airflow_provider_evolink.api.schedule import UNPLANNED, Durations, Plan
from airflow_provider_evolink.api.throttle import Throttle
from airflow_provider_evolink.api.transport import LIGHT_CONNECTIONS
from airflow_provider_evolink.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_evolink.account import Account
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.wait import Wait

log = logging.getLogger(__name__)

# Eight requests for fifty each are plenty; where each generation is read by itself, a crowd needs more of them.
MAX_IN_FLIGHT, MAX_SINGLES_IN_FLIGHT = 8, LIGHT_CONNECTIONS
# Lines about progress in one process; a changed status is told in any case.
LINES_PER_SECOND = 5.0
_LONGEST_SLEEP = 60.0
_REBUILD_SECONDS = 10.0


class Memory:
    """What does not depend on the account: how long models take, and how much may be logged."""

    def __init__(self) -> None:
        self.durations = Durations()
        self.lines = Throttle(LINES_PER_SECOND)


class Asker:
    """
    Asks about generations of one account.

    :param account: whose they are.
    :param memory: shared with other accounts of the connection.
    :param hand_on: given those about whom a question has failed, and the failure, it takes those that another account
        is to be asked about, and returns the others.
    """

    def __init__(
        self,
        account: Account,
        memory: Memory,
        hand_on: Callable[[Asker, Sequence[Wait], EvoLinkError], Awaitable[Sequence[Wait]]],
    ) -> None:
        self.account = account
        self._memory = memory
        self._hand_on = hand_on
        self._reader = Reader()
        self._throttle = Throttle(assumed=throttle.DOCUMENTED)
        self._turns: Turns[Wait] = Turns()
        self._waits: set[Wait] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        # Whether the loop sleeps because enough is under way; where answers change the limit, that can't be told later.
        self._is_full = False
        self._rebuilt_at = float("-inf")

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits here."""
        return not self._waits

    def begin(self, one: Wait) -> None:
        """Ask about a generation from now on."""
        delay = pacing.first_delay(one.watch, self._plan(one), now=time.time(), chance=random.random())
        one.asker, one.is_known_here, one.is_alone = self, False, False
        self._waits.add(one)
        self._hold(one, delay)
        self._start()

    def leave(self, one: Wait) -> None:
        """Ask about it no more."""
        self._waits.discard(one)

    async def close(self) -> None:
        """Stop, and close the client."""
        self._reset()
        await self.account.close()

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            self._loop.add_done_callback(self._ended)

    async def _run(self) -> None:
        while True:
            await self._until_due()
            await self._until_admitted()
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

    async def _until_admitted(self) -> None:
        while True:
            now = time.monotonic()
            self._throttle.demand(self._turns.count_due(now) / self._reader.width(now))
            # An answer that arrives while it sleeps may make the pause longer.
            if (pause := self._throttle.reserve(now)) == 0:
                return
            await asyncio.sleep(pause)

    def _seconds_left(self, now: float) -> float:
        """Return how long the loop may sleep if nobody wakes it."""
        most = MAX_IN_FLIGHT if self._reader.width(now) > 1 else MAX_SINGLES_IN_FLIGHT
        self._is_full = len(self._asking) >= most
        return _LONGEST_SLEEP if self._is_full else min(self._turns.next_due() - now, _LONGEST_SLEEP)

    def _due(self) -> list[Wait]:
        """Take those to be asked about with one request; where requests are rationed, none goes half empty."""
        now = time.monotonic()
        width = self._reader.width(now)
        ahead = 1.0 / self._throttle.rate if width > 1 and self._throttle.is_limited else 0.0
        return [one for one in self._turns.take(now, width, ahead) if one.asker is self and not one.future.done()]

    async def _ask(self, waits: Sequence[Wait]) -> None:
        ids = list(dict.fromkeys(one.watch.generation_id for one in waits))
        try:
            found = await self.account.use(lambda client: self._reader.read(client, ids, now=time.monotonic()))
        except EvoLinkError as error:
            await self._failed(waits, error)
        except Exception as error:
            log.exception("A question for %d generations has failed in a way that it should not.", len(ids))
            await self._failed(waits, MalformedAnswerError(f"The question failed ({type(error).__name__}: {error})."))
        else:
            self._throttle.answered(time.monotonic())
            self._answered(waits, found)

    def _answered(self, waits: Sequence[Wait], found: Mapping[str, Generation]) -> None:
        now = time.monotonic()
        for one in waits:
            seen = found.get(one.watch.generation_id)
            if seen is None:
                self._ask_alone(one)
                continue
            if one.is_alone:
                self._reader.has_left_out(now)
            one.asked_at, one.is_alone, one.is_known_here = now, False, True
            self._step(one, self._after(one, seen))

    def _ask_alone(self, one: Wait) -> None:
        one.is_alone = True
        self._turns.add_now(one)
        self._wake.set()

    def _after(self, one: Wait, seen: Generation) -> Ask | Stop:
        now, plan = time.time(), self._plan(one, seen)
        if seen.status == COMPLETED and (model := seen.model or one.watch.model):
            took = pacing.took(one.watch, one.progress, seen, plan, now=now)
            if took is not None:
                self._memory.durations.learn(model, took)
        return pacing.after_answer(one.watch, one.progress, seen, plan, now=now, chance=random.random())

    def _plan(self, one: Wait, seen: Generation | None = None) -> Plan:
        if one.watch.poll_interval is not None:
            return UNPLANNED
        model = (seen.model if seen else None) or one.watch.model
        estimate = one.watch.estimated_time or (seen.estimated_time if seen else None)
        return self._memory.durations.plan(model, estimate)

    async def _failed(self, waits: Sequence[Wait], error: EvoLinkError) -> None:
        self._heed(error)
        for one in await self._hand_on(self, waits, error):
            one.is_alone = False
            if not isinstance(error, RateLimitedError):
                one.asked_at = time.monotonic()
            now, chance = time.time(), random.random()
            self._step(one, pacing.after_failure(one.watch, one.progress, error, now=now, chance=chance))

    def _heed(self, error: EvoLinkError) -> None:
        """Let nobody ask for as long as EvoLink says, nor more often than it lets anybody."""
        now, asked = time.monotonic(), error.retry_after if isinstance(error, ApiError) else None
        if isinstance(error, RateLimitedError):
            if self._throttle.slow_down(now, asked):
                log.info("EvoLink rations questions; at most %.3g a minute are asked now.", 60 * self._throttle.rate)
        elif asked is not None:
            self._throttle.pause(now, asked)

    def _step(self, one: Wait, step: Ask | Stop) -> None:
        if one.future.done():
            return
        if isinstance(step, Stop):
            one.end(step)
            return
        one.progress = step.progress
        if step.news and (step.is_urgent or self._memory.lines.admits(time.monotonic())):
            one.say(step.news)
        self._hold(one, step.delay)

    def _hold(self, one: Wait, delay: float) -> None:
        one.is_due_in(delay)
        is_first = self._turns.add(one, time.monotonic() + delay)
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
            self._start()
        else:
            for one in waits:
                self._step(one, Stop(Outcome.UNREACHABLE, one.progress.status, "the asking itself failed"))

    def _reset(self) -> None:
        loop, self._loop = self._loop, None
        for task in (loop, *self._asking):
            if task is not None:
                task.cancel()
        self._turns = Turns()
