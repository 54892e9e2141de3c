# SPDX-License-Identifier: Apache-2.0
"""Wait for generations of one connection; all waits in one event loop share its clients and poll loops.

The connection may change meanwhile: another host, another account, a new API key. A generation belongs to the account
that accepted it. So a generation that an account knows stays there for as long as that account accepts its API key; one
that it does not know is looked for at the account that the connection now leads to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

from airflow_provider_evolink.api.errors import AuthenticationError, EvoLinkError, GenerationNotFoundError
from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.polling import policy
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.polling.poll_loop import PollLoop, SharedHistory
from airflow_provider_evolink.polling.shared_client import Lookup, SharedClient
from airflow_provider_evolink.polling.waiter import OnProgress, Waiter

# Seconds after its deadline for which a wait may last, until its last poll is done; Airflow's own timeout is later.
_DEADLINE_GRACE_SECONDS = 45.0


class Poller:
    """Wait for generations of one connection.

    :param lookup: returns the connection's settings. It is called once, and at most twice a minute while an API key is
        refused, a generation is not known, or nothing responds.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._history = SharedHistory()
        # The last one polls the account that the latest lookup returned, the others those of earlier lookups.
        self._loops = [self._make_loop(SharedClient(lookup))]

    async def wait(self, watch: Watch, on_progress: OnProgress) -> StopPolling:
        """Poll a generation until it is terminal, its deadline has passed, or it can't be polled any more.

        :param on_progress: called with a line for the log whenever there is something to report.
        :return: why the wait ended; no :class:`EvoLinkError` is ever raised.
        """
        async with self.waiting([watch], on_progress) as (waiter,):
            return await waiter.future

    async def wait_and_read(self, watch: Watch, on_progress: OnProgress) -> tuple[StopPolling, Generation | None]:
        """Do the same, and read a completed generation once more, where it was found, since a poll may be out of date.

        :param on_progress: as in :meth:`wait`.
        :return: why the wait ended, and the generation if it is completed and could be read.
        """
        async with self.waiting([watch], on_progress) as (waiter,):
            stop = await waiter.future
            is_completed = stop.outcome is Outcome.TERMINAL and stop.status == COMPLETED
            if is_completed and waiter.poll_loop is not None:
                with suppress(EvoLinkError):
                    return stop, await waiter.poll_loop.read(watch.generation_id)
            return stop, None

    @asynccontextmanager
    async def waiting(self, watches: Iterable[Watch], on_progress: OnProgress | None) -> AsyncIterator[list[Waiter]]:
        """Poll generations for as long as the context lasts, and not a moment longer.

        :param on_progress: as in :meth:`wait`, for each of them; ``None`` = report nothing.
        :return: a waiter for each watch, in the same order; its future gets the end of its wait.
        """
        waiters = [Waiter(watch, on_progress) for watch in watches]
        alarms = [self._add(waiter) for waiter in waiters]
        try:
            yield waiters
        finally:
            for alarm in alarms:
                alarm.cancel()
            await self._remove(waiters)

    def _add(self, waiter: Waiter) -> asyncio.TimerHandle:
        """Poll a generation from now on, and return the alarm that ends its wait if the last poll is overdue."""
        self._loops[-1].add(waiter)
        seconds = waiter.watch.deadline - time.time() + _DEADLINE_GRACE_SECONDS
        return asyncio.get_running_loop().call_later(seconds, _give_up, waiter, context=waiter.context)

    async def _remove(self, waiters: Iterable[Waiter]) -> None:
        for waiter in waiters:
            # It may be in a queue, or in a request.
            waiter.future.cancel()
            if waiter.poll_loop is not None:
                waiter.poll_loop.discard(waiter)
        for loop in [loop for loop in self._loops if loop.is_idle]:
            if loop is not self._loops[-1]:
                self._loops.remove(loop)
            await loop.close()

    def _make_loop(self, shared_client: SharedClient) -> PollLoop:
        return PollLoop(shared_client, self._history, self._take_over)

    async def _take_over(self, loop: PollLoop, waiters: Sequence[Waiter], error: EvoLinkError) -> Sequence[Waiter]:
        """Move waiters whose poll failed to another account if they belong there, and return the others."""
        if policy.may_have_moved(error) and loop is self._loops[-1]:
            await self._refresh_settings(loop)
        return [waiter for waiter in waiters if not self._move(waiter, loop, error)]

    async def _refresh_settings(self, loop: PollLoop) -> None:
        settings = await loop.shared_client.changed_settings()
        if settings is not None and loop is self._loops[-1]:
            self._loops.append(self._make_loop(SharedClient(self._lookup, settings)))

    def _move(self, waiter: Waiter, loop: PollLoop, error: EvoLinkError) -> bool:
        """Move a lost waiter to the newest loop that it has not left yet; return whether it was moved."""
        others = [other for other in reversed(self._loops) if other is not loop and other not in waiter.tried_loops]
        if waiter.future.done() or not others or not _is_lost(waiter, error, time.time()):
            return False
        loop.discard(waiter)
        waiter.tried_loops = (*waiter.tried_loops, loop)
        others[0].add(waiter)
        return True


def _is_lost(waiter: Waiter, error: EvoLinkError, now: float) -> bool:
    """Return whether a failure shows that the generation can't be polled at this account any more."""
    if isinstance(error, GenerationNotFoundError):
        return not waiter.is_known_here
    since = waiter.progress.failing_since
    is_outage = since is not None and now - since >= policy.MOVED_AFTER_SECONDS
    return isinstance(error, AuthenticationError) or (is_outage and policy.may_have_moved(error))


def _give_up(waiter: Waiter) -> None:
    """End a wait whose last poll is overdue, as under a rate limit; a worker reads the generation in any case."""
    waiter.end(StopPolling(Outcome.DEADLINE, waiter.progress.status, "no poll succeeded at the deadline"))


_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


def shared_poller(conn_id: str, lookup: Lookup) -> Poller:
    """Return the running event loop's poller for a connection.

    :param conn_id: the connection's id.
    :param lookup: returns the connection's settings; only used when the poller is made.
    """
    pollers = _POLLERS.setdefault(asyncio.get_running_loop(), {})
    if conn_id not in pollers:
        pollers[conn_id] = Poller(lookup)
    return pollers[conn_id]
