# SPDX-License-Identifier: Apache-2.0
"""
Carries reads with aiohttp, at half the CPU that they cost through httpx's requests and responses alone.

For reads only: aiohttp sends one again by itself when a kept connection turns out to be closed, and does not tell in
every case whether a request has left, which is what one that costs money has to know.
"""

from __future__ import annotations

from urllib.request import getproxies

import aiohttp

from airflow_provider_evolink.api.answers import Answer
from airflow_provider_evolink.api.proxies import proxy_for
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transport import (
    CONNECT_SECONDS,
    KEEP_ALIVE_SECONDS,
    LIGHT_CONNECTIONS,
    Call,
    NeverLeftError,
    standing_headers,
    tls_context,
    whole,
)

_DNS_SECONDS = 60
_NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class AiohttpCarrier:
    """Carries reads, many at a time, and not through a proxy; its connections belong to the loop of its first call."""

    most = LIGHT_CONNECTIONS

    def __init__(self, settings: Settings) -> None:
        self._headers = standing_headers(settings)
        self._tls = True if settings.base_url.startswith("http://") else tls_context(settings.verify)
        self._session: aiohttp.ClientSession | None = None

    async def carry(self, call: Call) -> Answer:
        """Send a read once and return the whole answer; anything else is refused."""
        if call.is_paid or call.files is not None:
            raise NeverLeftError("This carrier is for reads only.")
        try:
            response = await self._opened().request(
                call.method,
                call.url,
                headers=call.headers,
                data=call.content,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=call.seconds),
            )
        except _NEVER_LEFT as error:
            raise NeverLeftError from error
        try:
            encoding = response.headers.get("content-encoding", "")
            body = await whole(response.content.iter_any(), encoding, call.question)
        except BaseException:
            response.close()
            raise
        return Answer(response.status, response.headers, body)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls, limit=self.most, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=_DNS_SECONDS
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def is_reachable_without_proxy(settings: Settings) -> bool:
    """
    Whether requests go straight to the account's host.

    :raises ConfigurationError: they go through a proxy that can't be used.
    """
    return proxy_for(settings.base_url, settings.proxy, getproxies()) is None
