# SPDX-License-Identifier: Apache-2.0
"""
One account's way over HTTP: the only room that knows httpx.

A :class:`Call` describes a request once, and :class:`Wire` sends it: bounded in time, in bytes and in how many are in
flight, and with every failure of the network told apart by whether the request can have arrived.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import urllib.request
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.answers import Answer, Question
from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    ConnectionLostError,
    EvoLinkError,
    MalformedAnswerError,
    NotSentError,
)
from airflow_provider_evolink.api.settings import LIGHT_CONNECTIONS, Settings

USER_AGENT = f"airflow-provider-evolink/{__version__}"
MAX_CONNECTIONS = 8
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 75.0
# The slowest line on which a large request still has the time it takes.
_SLOWEST_BYTES_PER_SECOND = 64 * 1024
_GZIP_OR_ZLIB = 47

_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request, and what its failure means.

    :param question: what is asked, for the text of an error.
    :param seconds: to wait for the next bytes of the answer.
    :param is_paid: whether it costs money if it arrives.
    """

    method: str
    url: str
    question: Question
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] | None = None
    seconds: float = 15.0
    is_paid: bool = False

    @property
    def total_seconds(self) -> float:
        """How long it may take in all."""
        return _CONNECT_SECONDS + 2 * self.seconds + len(self.content or b"") / _SLOWEST_BYTES_PER_SECOND


class Wire:
    """
    Sends calls to one account.

    :param transport: replaces the network, for tests.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        # httpcore's pool slows with every queued request, so none may queue there.
        self._gate = asyncio.Semaphore(MAX_CONNECTIONS if transport is None else LIGHT_CONNECTIONS)
        self._http = _http_client(settings, transport)
        # A client's redirects, cookies and authentication are not wanted; without them a read costs a third less.
        self._carry = functools.partial(self._http.send, stream=True) if transport is None else _bare(transport)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def send(self, call: Call) -> Answer:
        """
        Send a call once and return the whole answer, whatever its status.

        :raises NotSentError: it never left.
        :raises ConnectionLostError: it may have arrived.
        :raises MalformedAnswerError: the answer is larger than any of EvoLink's.
        """
        try:
            async with self._gate, asyncio.timeout(call.total_seconds):
                response = await self._carry(self._request(call))
                try:
                    return Answer(response.status_code, response.headers, await _bounded(response, call.question))
                finally:
                    await response.aclose()
        except EvoLinkError:
            raise
        except _NEVER_LEFT as error:
            raise _not_sent(call.question, error) from error
        except Exception as error:
            # Whatever else went wrong, it may have arrived. Without its cause, which may quote what came: an echo of
            # the key.
            raise _lost(call.question, error) from None

    def _request(self, call: Call) -> httpx.Request:
        return self._http.build_request(
            call.method,
            call.url,
            content=call.content,
            files=call.files,
            headers=dict(call.headers),
            timeout=httpx.Timeout(call.seconds, connect=_CONNECT_SECONDS, pool=call.seconds),
        )


@functools.lru_cache(maxsize=8)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """
    One TLS context per process and CA bundle: building one costs 40 ms and 0.8 MiB.

    :raises ConfigurationError: there is no such bundle.
    """
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=verify) if isinstance(verify, str) else httpx.create_ssl_context()
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"The connection's verify setting is no CA bundle that can be read ({type(error).__name__}). "
            "Nothing was sent."
        ) from None


def _bare(transport: httpx.AsyncBaseTransport) -> Callable[[httpx.Request], Awaitable[httpx.Response]]:
    async def carry(request: httpx.Request) -> httpx.Response:
        response = await transport.handle_async_request(request)
        response.request = request
        return response

    return carry


def light_transport(settings: Settings) -> httpx.AsyncBaseTransport | None:
    """
    Let aiohttp carry reads under httpx's interface, at half the CPU of httpx's own transport; ``None`` behind a proxy.

    Not for paid requests: it does not tell a request that never left from one whose answer was lost.
    """
    if settings.proxy or (not settings.is_loopback and {"http", "https", "all"} & urllib.request.getproxies().keys()):
        return None
    import aiohttp
    from httpx_aiohttp import AiohttpTransport

    class Light(AiohttpTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                return await super().handle_async_request(request)
            except httpx.ConnectTimeout as error:
                # So it calls a connection that the other side has closed.
                raise httpx.ReadError(str(error)) from error

    context = False if settings.base_url.startswith("http://") else tls_context(settings.verify)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=context, limit=LIGHT_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS, ttl_dns_cache=60
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    return Light(verify=context, client=session)


def _http_client(settings: Settings, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    is_plain = settings.base_url.startswith("http://")
    try:
        _check_name(settings.base_url)
        return httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {settings.api_key}",
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                # Answers are small, and what is not unpacked can't be a bomb.
                "Accept-Encoding": "identity",
            },
            verify=False if is_plain else tls_context(settings.verify),
            proxy=settings.proxy,
            # A proxy of the environment must not see plain requests meant for this machine.
            trust_env=not is_plain,
            transport=transport,
            follow_redirects=False,
            # Answers set no cookies: they would pile up in a triggerer, and go out again with every question.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=_KEEP_ALIVE_SECONDS,
            ),
        )
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The connection's host, verify or proxy setting can't be used ({type(error).__name__}). Nothing was sent."
        ) from None


def _check_name(url: str) -> None:
    """A broken international name would fail at every request, when httpx decodes it."""
    if not httpx.URL(url).host:
        raise ValueError("no host")


async def _bounded(response: httpx.Response, question: Question) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise MalformedAnswerError(
                f"Something answered {question.what} with more than {_MAX_ANSWER_BYTES} bytes. "
                f"{question.cost_in_doubt} A retry may reach EvoLink itself.",
                generation_id=question.generation_id,
            )
    return _unpacked(bytes(body), response.headers.get("content-encoding", ""))


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Unpack an answer that was packed though we asked for it plain, and no more of it than is allowed."""
    if encoding.strip().lower() not in {"gzip", "deflate"}:
        return body
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _MAX_ANSWER_BYTES)
    except zlib.error:
        return body


def _not_sent(question: Question, error: Exception) -> NotSentError:
    return NotSentError(
        f"EvoLink could not be reached for {question.what} ({type(error).__name__}: {error}). "
        "The request never left, so nothing was charged. A retry is safe.",
        generation_id=question.generation_id,
    )


def _lost(question: Question, error: Exception) -> ConnectionLostError:
    return ConnectionLostError(
        f"EvoLink's answer to {question.what} was lost ({type(error).__name__}). {question.cost_in_doubt} "
        "A retry asks again.",
        generation_id=question.generation_id,
    )
