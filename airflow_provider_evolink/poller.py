# SPDX-License-Identifier: Apache-2.0
"""
The waiting: one client for each event loop and connection, shared by every generation that is waited for.

The first to wait looks the connection up and opens the client, the last to leave closes it. What is asked when, and
when to stop, is decided in :mod:`~airflow_provider_evolink.api.pacing`.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_evolink.api import pacing
from airflow_provider_evolink.api.errors import AuthenticationError, EvoLinkError, MalformedAnswerError
from airflow_provider_evolink.api.pacing import Ask, Progress, Stop, Watch

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.api.settings import Settings

Lookup = Callable[[], Awaitable["Settings"]]
Tell = Callable[[str], None]

# The first look-up of a triggerer takes up to 20 s; one that was not answered by then never will be.
_LOOKUP_SECONDS = 60.0
# A key that was refused is not looked up again before.
_RENEWAL_SECONDS = 30.0


class Poller:
    """
    Waits for generations of one account.

    :param lookup: finds the account's settings; called once, and once more when the key is refused.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._opening: asyncio.Task[EvoLinkClient] | None = None
        self._clients: list[EvoLinkClient] = []
        self._waiting = 0
        self._renewed_at = -math.inf

    async def wait(self, watch: Watch, tell: Tell) -> Stop:
        """
        Ask about a generation until it is final, its deadline has come or it can't be asked about any more.

        :param tell: is given a line whenever something has changed.
        :return: why the waiting ended; it never raises an error of EvoLink's.
        """
        progress = Progress()
        delay = pacing.first_delay(watch, now=time.time(), chance=random.random())
        while True:
            await asyncio.sleep(delay)
            step = await self._ask(watch, progress)
            if isinstance(step, Stop):
                return step
            if step.news:
                tell(step.news)
            progress, delay = step.progress, step.delay

    async def _ask(self, watch: Watch, progress: Progress) -> Ask | Stop:
        try:
            seen = await self._read(watch.generation_id)
        except EvoLinkError as error:
            return pacing.after_failure(watch, progress, error, now=time.time(), chance=random.random())
        return pacing.after_answer(watch, progress, seen, now=time.time(), chance=random.random())

    async def _read(self, generation_id: str) -> Generation:
        opening = self._current()
        used = await self._client(opening)
        try:
            return await used.generation(generation_id)
        except AuthenticationError:
            if not self._may_renew(opening):
                raise
            return await (await self._client(self._current())).generation(generation_id)

    def _may_renew(self, refused: asyncio.Task[EvoLinkClient]) -> bool:
        """A key may have been rotated: look it up once, however many were refused, and not again at once."""
        if self._opening is refused:
            if time.monotonic() - self._renewed_at < _RENEWAL_SECONDS:
                return False
            self._renewed_at = time.monotonic()
            self._forget(refused)
        return True

    def _current(self) -> asyncio.Task[EvoLinkClient]:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return self._opening

    async def _client(self, opening: asyncio.Task[EvoLinkClient]) -> EvoLinkClient:
        try:
            return await asyncio.shield(opening)
        except EvoLinkError:
            self._forget(opening)
            raise
        except Exception as error:
            self._forget(opening)
            raise MalformedAnswerError(
                f"The connection could not be looked up ({type(error).__name__}: {error}). It is tried again."
            ) from error

    async def _open(self) -> EvoLinkClient:
        from airflow_provider_evolink.api.client import EvoLinkClient

        async with asyncio.timeout(_LOOKUP_SECONDS):
            settings = await self._lookup()
        client = EvoLinkClient(settings)
        self._clients.append(client)
        return client

    def _forget(self, opening: asyncio.Task[EvoLinkClient]) -> None:
        if self._opening is opening:
            self._opening = None

    async def close(self) -> None:
        """Close every client that was opened; those whose key was refused may have been in use until now."""
        opening, self._opening = self._opening, None
        clients, self._clients = self._clients, []
        if opening is not None:
            opening.cancel()
        for client in clients:
            with suppress(Exception):
                await client.close()

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[Poller]:
        """Count as waiting; whoever leaves last closes the client."""
        self._waiting += 1
        try:
            yield self
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                await self.close()


_BY_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


def shared_poller(conn_id: str, lookup: Lookup) -> Poller:
    """Return the running loop's poller for a connection."""
    pollers = _BY_LOOP.setdefault(asyncio.get_running_loop(), {})
    return pollers.setdefault(conn_id, Poller(lookup))
