# SPDX-License-Identifier: Apache-2.0
"""
One account, shared by everybody who waits in one event loop: looked up once, opened once.

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

from airflow_provider_evolink.api.errors import ConnectionNotFoundError, EvoLinkError, InvalidResponseError

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.settings import Settings

T = TypeVar("T")
Lookup = Callable[[], Awaitable["Settings"]]

# The first look-up of a triggerer takes up to 20 s; one that was not answered by then never will be.
_LOOKUP_SECONDS = 60.0
# Whether a connection has changed is not looked up again before.
_RENEWAL_SECONDS = 30.0
# Airflow also says "not found" when the database could not be read for a moment.
_NOT_FOUND_SECONDS = 5.0


class SharedClient:
    """
    An account's client, opened on first use.

    :param lookup: finds what the connection says; called once, and when it may have changed.
    :param settings: what was found already.
    """

    def __init__(self, lookup: Lookup, settings: Settings | None = None) -> None:
        self._lookup = lookup
        self._settings = settings
        self._opening: asyncio.Task[EvoLinkClient] | None = None
        self._client: EvoLinkClient | None = None
        self._renewal: asyncio.Task[Settings | None] | None = None
        self._renewed_at = -math.inf

    async def use(self, operation: Callable[[EvoLinkClient], Awaitable[T]]) -> T:
        """
        Do something with the client.

        :raises ConnectionNotFoundError: there is no such connection, for this process at least.
        :raises EvoLinkError: it failed, or the account could not be looked up.
        """
        return await operation(await self._get_client())

    async def changed_settings(self) -> Settings | None:
        """Look the connection up again, once for all who ask within half a minute; return what differs, if anything."""
        if self._settings is None:
            return None
        if self._renewal is None or time.monotonic() - self._renewed_at >= _RENEWAL_SECONDS:
            self._renewed_at = time.monotonic()
            self._renewal = asyncio.ensure_future(self._look_up_again())
        return await asyncio.shield(self._renewal)

    async def close(self) -> None:
        """Close the client, and forget what was looked up."""
        opening, self._opening = self._opening, None
        renewal, self._renewal = self._renewal, None
        client, self._client = self._client, None
        self._settings = None
        for task in (opening, renewal):
            if task is not None:
                task.cancel()
        if client is not None:
            with suppress(Exception):
                await client.close()

    async def _get_client(self) -> EvoLinkClient:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except EvoLinkError:
            self._forget(opening)
            raise
        except Exception as error:
            self._forget(opening)
            raise InvalidResponseError(
                f"The connection could not be looked up ({type(error).__name__}: {error}). It is tried again."
            ) from error

    async def _open(self) -> EvoLinkClient:
        if self._settings is None:
            self._settings = await self._look_up()
        # What has to be imported and made once takes a tenth of a second, which other triggers need not wait for.
        self._client = await asyncio.to_thread(_light_client, self._settings)
        return self._client

    async def _look_up(self) -> Settings:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            with suppress(ConnectionNotFoundError):
                return await self._lookup()
            await asyncio.sleep(_NOT_FOUND_SECONDS)
            return await self._lookup()

    async def _look_up_again(self) -> Settings | None:
        """Whoever can't look it up now goes on with what is known."""
        known, found = self._settings, None
        with suppress(Exception):
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await self._lookup()
        return None if found == known else found

    def _forget(self, opening: asyncio.Task[EvoLinkClient]) -> None:
        if self._opening is opening:
            self._opening = None


def _light_client(settings: Settings) -> EvoLinkClient:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.transports.aiohttp_transport import AiohttpTransport, is_reachable_without_proxy

    return EvoLinkClient(
        settings, transport=AiohttpTransport(settings) if is_reachable_without_proxy(settings) else None
    )
