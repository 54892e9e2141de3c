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

from airflow_provider_evolink.account import Account, Lookup
from airflow_provider_evolink.api import pacing
from airflow_provider_evolink.api.errors import AuthenticationError, EvoLinkError, GenerationNotFoundError
from airflow_provider_evolink.api.pacing import Outcome, Stop, Watch
from airflow_provider_evolink.asker import MAX_IN_FLIGHT, Asker, Memory
from airflow_provider_evolink.wait import Tell, Wait

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
        self._memory = Memory()
        # The last one asks where the connection has led when it was last looked up, the others where it led before.
        self._askers = [self._asker(Account(lookup))]

    async def wait(self, watch: Watch, tell: Tell) -> Stop:
        """
        Ask about a generation until it is final, its deadline has come or it can't be asked about any more.

        :param tell: is given a line whenever something has changed.
        :return: why the waiting ended; it never raises an error of EvoLink's.
        """
        one = Wait(watch, tell)
        self._askers[-1].begin(one)
        seconds = watch.deadline - time.time() + _OVERDUE_SECONDS
        alarm = asyncio.get_running_loop().call_later(seconds, _give_up, one, context=one.context)
        try:
            return await one.future
        finally:
            alarm.cancel()
            await self._left(one)

    async def _left(self, one: Wait) -> None:
        if one.asker is not None:
            one.asker.leave(one)
        for asker in [asker for asker in self._askers if asker.is_idle]:
            if asker is not self._askers[-1]:
                self._askers.remove(asker)
            await asker.close()

    def _asker(self, account: Account) -> Asker:
        return Asker(account, self._memory, self._hand_on)

    async def _hand_on(self, asker: Asker, waits: Sequence[Wait], error: EvoLinkError) -> Sequence[Wait]:
        """Ask about generations elsewhere, if that is where they may be; return those about which it is not."""
        if pacing.may_have_moved(error) and asker is self._askers[-1]:
            await self._look_again(asker)
        return [one for one in waits if not self._is_handed_on(one, asker, error)]

    async def _look_again(self, asker: Asker) -> None:
        settings = await asker.account.renewed()
        if settings is not None and asker is self._askers[-1]:
            self._askers.append(self._asker(Account(self._lookup, settings)))

    def _is_handed_on(self, one: Wait, asker: Asker, error: EvoLinkError) -> bool:
        others = [other for other in reversed(self._askers) if other is not asker and other not in one.tried]
        if one.future.done() or not others or not _is_lost(one, error, time.time()):
            return False
        asker.leave(one)
        one.tried = (*one.tried, asker)
        others[0].begin(one)
        return True


def _is_lost(one: Wait, error: EvoLinkError, now: float) -> bool:
    """Whether a failure says that this account can't be asked about the generation any more."""
    if isinstance(error, GenerationNotFoundError):
        return not one.is_known_here
    since = one.progress.failing_since
    is_over = since is not None and now - since >= pacing.MOVED_SECONDS
    return isinstance(error, AuthenticationError) or (is_over and pacing.may_have_moved(error))


def _give_up(one: Wait) -> None:
    """Where questions are rationed the last one may come too late; a worker looks in any case."""
    one.end(Stop(Outcome.DEADLINE, one.progress.status, "no question was left for it"))


_BY_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


def shared_poller(conn_id: str, lookup: Lookup) -> Poller:
    """Return the running loop's poller for a connection."""
    pollers = _BY_LOOP.setdefault(asyncio.get_running_loop(), {})
    if conn_id not in pollers:
        pollers[conn_id] = Poller(lookup)
    return pollers[conn_id]
