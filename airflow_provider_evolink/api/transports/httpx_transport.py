# SPDX-License-Identifier: Apache-2.0
"""Send requests with httpx, which distinguishes a request that never left from one whose response was lost.

That makes it the transport for single submissions, and for everything that goes through a proxy.
"""

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

# httpcore's pool slows down with every connection, and with every request that waits for one.
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
    """Send requests of every kind, through a proxy if there is one.

    :param network: replaces the network, for tests.
    :raises ConfigurationError: the settings can't be used.
    """

    max_concurrency = MAX_CONNECTIONS

    def __init__(self, settings: Settings, network: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = _client(settings, network)

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request once and return the response."""
        try:
            response = await self._http.send(_build(self._http, request), stream=True)
        except _NEVER_LEFT as error:
            raise NotTransmittedError from error
        try:
            encoding = response.headers.get("content-encoding", "")
            body = await read_body(response.aiter_raw(), encoding, request.context)
        finally:
            await response.aclose()
        return ApiResponse(response.status_code, response.headers, body)

    async def disconnect(self) -> None:
        """Keep the connections: they are few, and small."""

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def _build(http: httpx.AsyncClient, request: ApiRequest) -> httpx.Request:
    file = request.file
    return http.build_request(
        request.method,
        request.url,
        content=request.content,
        files=None if file is None else {"file": (file.name, file.stream, file.content_type)},
        headers=dict(request.headers),
        timeout=httpx.Timeout(request.read_timeout, connect=CONNECT_SECONDS, pool=request.read_timeout),
    )


def _client(settings: Settings, network: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    is_plain_http = settings.base_url.startswith("http://")
    try:
        _check_host(settings.base_url)
        return httpx.AsyncClient(
            headers=default_headers(settings),
            verify=False if is_plain_http else tls_context(settings.verify),
            **_proxy_options(settings),
            # httpx reads the environment's proxies differently from the landing.
            trust_env=False,
            transport=network,
            follow_redirects=False,
            # Cookies are dropped: they would pile up in a triggerer and be sent with every request.
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


def _proxy_options(settings: Settings) -> dict[str, Any]:
    """Return httpx's options for the proxy of the account's hosts, which may apply to one of them only."""
    environment = getproxies()
    proxies = {url: proxy_for(url, settings.proxy, environment) for url in (settings.base_url, settings.files_url)}
    proxy = next(filter(None, proxies.values()), None)
    if proxy is None:
        return {}
    tls = tls_context(settings.verify) if proxy.lower().startswith("https:") else None
    direct = {url: None for url, host_proxy in proxies.items() if host_proxy is None}
    return {"proxy": httpx.Proxy(proxy, ssl_context=tls), "mounts": direct}


def _check_host(url: str) -> None:
    """Reject a broken internationalized name now: httpx would fail to decode it at every request."""
    if not httpx.URL(url).host:
        raise ValueError("no host")
