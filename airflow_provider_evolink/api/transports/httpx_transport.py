# SPDX-License-Identifier: Apache-2.0
"""Carries calls with httpx, which tells a request that never left from one whose answer was lost: the way for money."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.request import getproxies

import httpx

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.api.proxies import proxy_for
from airflow_provider_evolink.api.responses import ApiResponse
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.base import (
    CONNECT_SECONDS,
    KEEP_ALIVE_SECONDS,
    ApiRequest,
    NotTransmittedError,
    default_headers,
    read_body,
)
from airflow_provider_evolink.api.transports.tls import tls_context

# httpcore's pool slows with every connection, and with every request that queues for one.
MAX_CONNECTIONS = 8
_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


class HttpxTransport:
    """
    Carries every kind of call, through a proxy where there is one.

    :param transport: replaces the network, for tests.
    :raises ConfigurationError: the settings can't be used.
    """

    max_concurrency = MAX_CONNECTIONS

    def __init__(self, settings: Settings, network: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = _client(settings, network)

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a call once and return the whole answer."""
        try:
            response = await self._http.send(self._request(request), stream=True)
        except _NEVER_LEFT as error:
            raise NotTransmittedError from error
        try:
            encoding = response.headers.get("content-encoding", "")
            body = await read_body(response.aiter_raw(), encoding, request.context)
        finally:
            await response.aclose()
        return ApiResponse(response.status_code, response.headers, body)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    def _request(self, request: ApiRequest) -> httpx.Request:
        return self._http.build_request(
            request.method,
            request.url,
            content=request.content,
            files=request.files,
            headers=dict(request.headers),
            timeout=httpx.Timeout(request.seconds, connect=CONNECT_SECONDS, pool=request.seconds),
        )


def _client(settings: Settings, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    is_plain = settings.base_url.startswith("http://")
    try:
        _check_name(settings.base_url)
        return httpx.AsyncClient(
            headers=default_headers(settings),
            verify=False if is_plain else tls_context(settings.verify),
            **_through(settings),
            # httpx's own reading of the environment differs from that of the landing.
            trust_env=False,
            transport=transport,
            follow_redirects=False,
            # Answers set no cookies: they would pile up in a triggerer, and go out again with every question.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
        )
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The connection's host, verify or proxy setting can't be used ({type(error).__name__}). Nothing was sent."
        ) from None


def _through(settings: Settings) -> dict[str, Any]:
    """Return httpx's settings for the proxy before the account's hosts, which may stand before one of them only."""
    environment = getproxies()
    hosts = {url: proxy_for(url, settings.proxy, environment) for url in (settings.base_url, settings.files_url)}
    proxy = next(filter(None, hosts.values()), None)
    if proxy is None:
        return {}
    tls = tls_context(settings.verify) if proxy.lower().startswith("https:") else None
    direct = {url: None for url, through in hosts.items() if through is None}
    return {"proxy": httpx.Proxy(proxy, ssl_context=tls), "mounts": direct}


def _check_name(url: str) -> None:
    """A broken international name would fail at every request, when httpx decodes it."""
    if not httpx.URL(url).host:
        raise ValueError("no host")
