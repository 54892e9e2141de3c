# SPDX-License-Identifier: Apache-2.0
"""
One account, shared by everybody who waits in one event loop: looked up once, opened once, renewed once.

The first look-up of a triggerer costs seconds and an HTTP client a TLS context, so neither may happen once for each
generation.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_evolink.api.errors import AuthenticationError, EvoLinkError, MalformedAnswerError

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.settings import Settings

T = TypeVar("T")
Lookup = Callable[[], Awaitable["Settings"]]

# The first look-up of a triggerer takes up to 20 s; one that was not answered by then never will be.
_LOOKUP_SECONDS = 60.0
# A key that was refused is not looked up again before.
_RENEWAL_SECONDS = 30.0


class Account:
    """
    An account's client, opened on first use.

    :param lookup: finds the account's settings; called once, and once more when the key is refused.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._opening: asyncio.Task[EvoLinkClient] | None = None
        self._clients: list[EvoLinkClient] = []
        self._renewed_at = -math.inf

    async def use(self, operation: Callable[[EvoLinkClient], Awaitable[T]]) -> T:
        """
        Do something with the client; once more, with the settings of now, if the key is refused.

        :raises EvoLinkError: it failed, or the account could not be looked up.
        """
        opening = self._current()
        client = await self._client(opening)
        try:
            return await operation(client)
        except AuthenticationError:
            if not self._may_renew(opening):
                raise
            return await operation(await self._client(self._current()))

    async def close(self) -> None:
        """Close every client that was opened; those whose key was refused may have been in use until now."""
        opening, self._opening = self._opening, None
        clients, self._clients = self._clients, []
        if opening is not None:
            opening.cancel()
        for client in clients:
            with suppress(Exception):
                await client.close()

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
        async with asyncio.timeout(_LOOKUP_SECONDS):
            settings = await self._lookup()
        # What has to be imported and made once takes a tenth of a second, which other triggers need not wait for.
        client = await asyncio.to_thread(_light_client, settings)
        self._clients.append(client)
        return client

    def _forget(self, opening: asyncio.Task[EvoLinkClient]) -> None:
        if self._opening is opening:
            self._opening = None


def _light_client(settings: Settings) -> EvoLinkClient:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.over_aiohttp import AiohttpCarrier, is_reachable_without_proxy

    return EvoLinkClient(settings, carrier=AiohttpCarrier(settings) if is_reachable_without_proxy(settings) else None)
