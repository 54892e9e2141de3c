# SPDX-License-Identifier: Apache-2.0
"""
Carries reads with aiohttp, at half the CPU that they cost through httpx's requests and responses alone.

For reads only: aiohttp sends one again by itself when a kept connection turns out to be closed, and does not tell in
every case whether a request has left, which is what one that costs money has to know.
"""

from __future__ import annotations

from urllib.request import getproxies

import aiohttp

from airflow_provider_evolink.api.proxies import proxy_for
from airflow_provider_evolink.api.responses import ApiResponse
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.base import (
    CONNECT_SECONDS,
    KEEP_ALIVE_SECONDS,
    MAX_POLL_CONNECTIONS,
    ApiRequest,
    NotTransmittedError,
    default_headers,
    read_body,
)
from airflow_provider_evolink.api.transports.tls import tls_context

_DNS_SECONDS = 60
_NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class AiohttpTransport:
    """Carries reads, many at a time, and not through a proxy; its connections belong to the loop of its first call."""

    max_concurrency = MAX_POLL_CONNECTIONS

    def __init__(self, settings: Settings) -> None:
        self._headers = default_headers(settings)
        self._tls = True if settings.base_url.startswith("http://") else tls_context(settings.verify)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a read once and return the whole answer; anything else is refused."""
        if request.is_paid or request.files is not None:
            raise NotTransmittedError("This carrier is for reads only.")
        try:
            response = await self._opened().request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.content,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=request.seconds),
            )
        except _NEVER_LEFT as error:
            raise NotTransmittedError from error
        try:
            encoding = response.headers.get("content-encoding", "")
            body = await read_body(response.content.iter_any(), encoding, request.context)
        except BaseException:
            response.close()
            raise
        return ApiResponse(response.status, response.headers, body)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls,
                    limit=self.max_concurrency,
                    keepalive_timeout=KEEP_ALIVE_SECONDS,
                    ttl_dns_cache=_DNS_SECONDS,
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
