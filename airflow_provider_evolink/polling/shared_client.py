# SPDX-License-Identifier: Apache-2.0
"""Share one account's client among all waits of an event loop, by single-flight: one lookup, one client.

The first lookup of a triggerer takes seconds, and an HTTP client needs a TLS context. Neither may happen once for each
generation, so concurrent callers await the same task.
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

# The first lookup of a triggerer takes up to 20 s; one without a response after a minute never gets one.
_LOOKUP_SECONDS = 60.0
# The minimum between two lookups of whether the connection has changed.
_REFRESH_INTERVAL_SECONDS = 30.0
# Airflow also reports "not found" when its database could not be read for a moment: it is asked again after this time.
_NOT_FOUND_SECONDS = 5.0


class SharedClient:
    """The client of one account, opened on first use.

    :param lookup: returns the connection's settings; called once, and again when they may have changed.
    :param settings: the settings, if they were looked up already.
    """

    def __init__(self, lookup: Lookup, settings: Settings | None = None) -> None:
        self._lookup = lookup
        self._settings = settings
        self._opening: asyncio.Task[EvoLinkClient] | None = None
        self._client: EvoLinkClient | None = None
        self._refresh: asyncio.Task[Settings | None] | None = None
        self._refreshed_at = -math.inf

    async def use(self, operation: Callable[[EvoLinkClient], Awaitable[T]]) -> T:
        """Run an operation with the client.

        :raises ConnectionNotFoundError: this process, at least, can't find the connection.
        :raises EvoLinkError: the operation failed, or the connection could not be looked up; the next call tries again.
        """
        return await operation(await self._get_client())

    async def changed_settings(self) -> Settings | None:
        """Look the connection up again, once for all callers within half a minute.

        :return: the new settings, or ``None`` if they are unchanged or could not be looked up.
        """
        if self._settings is None:
            return None
        if self._refresh is None or time.monotonic() - self._refreshed_at >= _REFRESH_INTERVAL_SECONDS:
            self._refreshed_at = time.monotonic()
            self._refresh = asyncio.ensure_future(self._look_up_again())
        return await asyncio.shield(self._refresh)

    async def close(self) -> None:
        """Close the client, and drop the settings."""
        opening, self._opening = self._opening, None
        refresh, self._refresh = self._refresh, None
        client, self._client = self._client, None
        self._settings = None
        for task in (opening, refresh):
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
            self._drop(opening)
            raise
        except Exception as error:
            self._drop(opening)
            raise InvalidResponseError(
                f"The connection could not be looked up ({type(error).__name__}: {error}). The next poll tries again."
            ) from error

    async def _open(self) -> EvoLinkClient:
        if self._settings is None:
            self._settings = await self._look_up()
        # Imports and the TLS context take a tenth of a second, in a thread so that they don't block other triggers.
        self._client = await asyncio.to_thread(_make_client, self._settings)
        return self._client

    async def _look_up(self) -> Settings:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            with suppress(ConnectionNotFoundError):
                return await self._lookup()
            await asyncio.sleep(_NOT_FOUND_SECONDS)
            return await self._lookup()

    async def _look_up_again(self) -> Settings | None:
        """Return the connection's settings if they have changed; after a failed lookup the known ones stay in use."""
        known, found = self._settings, None
        with suppress(Exception):
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await self._lookup()
        return None if found == known else found

    def _drop(self, opening: asyncio.Task[EvoLinkClient]) -> None:
        if self._opening is opening:
            self._opening = None


def _make_client(settings: Settings) -> EvoLinkClient:
    from airflow_provider_evolink.api.client import make_concurrent_client

    return make_concurrent_client(settings)
