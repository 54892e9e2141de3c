# SPDX-License-Identifier: Apache-2.0
"""
The waiting: whoever waits in one event loop for generations of one connection shares everything.

A connection may be changed meanwhile: another host, another account, a new key. A generation belongs to the account
that has accepted it, so one that an account knows goes on there, as long as that account takes its key; one that it
does not know is looked for where the connection leads now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from airflow_provider_evolink.api.errors import AuthenticationError, EvoLinkError, GenerationNotFoundError
from airflow_provider_evolink.polling import policy
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.polling.poll_loop import MAX_IN_FLIGHT, PollLoop, SharedHistory
from airflow_provider_evolink.polling.shared_client import Lookup, SharedClient
from airflow_provider_evolink.polling.waiter import OnProgress, Waiter

__all__ = ["MAX_IN_FLIGHT", "Poller", "shared_poller"]

# How long after its deadline a generation is waited for at most, until its last question; Airflow's own limit is later.
_OVERDUE_SECONDS = 45.0


class Poller:
    """
    Waits for generations of one connection.

    :param lookup: finds what the connection says; called once, and again, at most twice a minute, while a key is
        refused, a generation is not known, or nothing is answered.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._memory = SharedHistory()
        # The last one asks where the connection has led when it was last looked up, the others where it led before.
        self._loops = [self._make_loop(SharedClient(lookup))]

    async def wait(self, watch: Watch, on_progress: OnProgress) -> StopPolling:
        """
        Ask about a generation until it is final, its deadline has come or it can't be asked about any more.

        :param tell: is given a line whenever something has changed.
        :return: why the waiting ended; it never raises an error of EvoLink's.
        """
        waiter = Waiter(watch, on_progress)
        self._loops[-1].add(waiter)
        seconds = watch.deadline - time.time() + _OVERDUE_SECONDS
        alarm = asyncio.get_running_loop().call_later(seconds, _give_up, waiter, context=waiter.context)
        try:
            return await waiter.future
        finally:
            alarm.cancel()
            await self._left(waiter)

    async def _left(self, waiter: Waiter) -> None:
        if waiter.poll_loop is not None:
            waiter.poll_loop.discard(waiter)
        for asker in [asker for asker in self._loops if asker.is_idle]:
            if asker is not self._loops[-1]:
                self._loops.remove(asker)
            await asker.close()

    def _make_loop(self, account: SharedClient) -> PollLoop:
        return PollLoop(account, self._memory, self._take_over)

    async def _take_over(self, asker: PollLoop, waiters: Sequence[Waiter], error: EvoLinkError) -> Sequence[Waiter]:
        """Ask about generations elsewhere, if that is where they may be; return those about which it is not."""
        if policy.may_have_moved(error) and asker is self._loops[-1]:
            await self._refresh_settings(asker)
        return [waiter for waiter in waiters if not self._is_taken_over(waiter, asker, error)]

    async def _refresh_settings(self, asker: PollLoop) -> None:
        settings = await asker.shared_client.changed_settings()
        if settings is not None and asker is self._loops[-1]:
            self._loops.append(self._make_loop(SharedClient(self._lookup, settings)))

    def _is_taken_over(self, waiter: Waiter, asker: PollLoop, error: EvoLinkError) -> bool:
        others = [other for other in reversed(self._loops) if other is not asker and other not in waiter.tried]
        if waiter.future.done() or not others or not _is_lost(waiter, error, time.time()):
            return False
        asker.discard(waiter)
        waiter.tried = (*waiter.tried, asker)
        others[0].add(waiter)
        return True


def _is_lost(waiter: Waiter, error: EvoLinkError, now: float) -> bool:
    """Whether a failure says that this account can't be asked about the generation any more."""
    if isinstance(error, GenerationNotFoundError):
        return not waiter.is_known_here
    since = waiter.progress.failing_since
    is_over = since is not None and now - since >= policy.MOVED_SECONDS
    return isinstance(error, AuthenticationError) or (is_over and policy.may_have_moved(error))


def _give_up(waiter: Waiter) -> None:
    """Where questions are rationed the last one may come too late; a worker looks in any case."""
    waiter.end(StopPolling(Outcome.DEADLINE, waiter.progress.status, "no question was left for it"))


_BY_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


def shared_poller(conn_id: str, lookup: Lookup) -> Poller:
    """Return the running loop's poller for a connection."""
    pollers = _BY_LOOP.setdefault(asyncio.get_running_loop(), {})
    if conn_id not in pollers:
        pollers[conn_id] = Poller(lookup)
    return pollers[conn_id]
