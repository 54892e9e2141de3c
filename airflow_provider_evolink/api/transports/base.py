# SPDX-License-Identifier: Apache-2.0
"""Send requests to one account: bounded in time, in bytes and in how many are in flight.

An :class:`ApiRequest` describes a request, and :class:`RequestSender` sends it, distinguishing failures after which the
request may have arrived from those after which it can't have. How bytes travel is up to a :class:`Transport`:
:mod:`~airflow_provider_evolink.api.transports.httpx_transport` for single requests of every kind, and
:mod:`~airflow_provider_evolink.api.transports.aiohttp_transport` for polls and submissions by the thousand.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.errors import (
    ConnectionLostError,
    EvoLinkError,
    InvalidResponseError,
    NotSentError,
)
from airflow_provider_evolink.api.files import OutgoingFile
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.tls import certificate_advice

CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 75.0
# How many reads of one generation each may be in flight at a time.
MAX_POLL_CONNECTIONS = 128
_MAX_RESPONSE_BYTES = 16 * 1024 * 1024
# The slowest upstream bandwidth at which a large request still completes in time.
_MIN_BYTES_PER_SECOND = 64 * 1024
_GZIP_OR_ZLIB, _GZIP_MAGIC = 47, b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request, and what its failure means.

    :param context: what it is for, to describe its failure.
    :param content: the body.
    :param file: sent as a multipart form, instead of a body.
    :param read_timeout: seconds to wait for the next bytes of the response.
    :param is_paid: whether it costs money if it arrives.
    """

    method: str
    url: str
    context: RequestContext
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    file: OutgoingFile | None = None
    read_timeout: float = 15.0
    is_paid: bool = False

    @property
    def total_timeout(self) -> float:
        """Seconds that the whole exchange may take."""
        size = self.file.size if self.file else len(self.content or b"")
        return CONNECT_SECONDS + 2 * self.read_timeout + size / _MIN_BYTES_PER_SECOND


class NotTransmittedError(Exception):
    """The request never left this machine; the cause says why."""


class Transport(Protocol):
    """Send requests to one account over pooled connections."""

    max_concurrency: int
    """How many requests it handles well at a time."""

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request once and return the response, its body read with :func:`read_body`.

        :raises NotTransmittedError: it never left. After any other exception, it may have arrived.
        """
        ...

    async def disconnect(self) -> None:
        """Free the memory that idle connections hold; the next request opens new ones."""
        ...

    async def close(self) -> None:
        """Close all connections, for good."""
        ...


class RequestSender:
    """Send requests to one account, no more at a time than its transport handles well.

    :param transport: how they travel.
    :param conn_id: the account's Airflow connection, for errors.
    """

    def __init__(self, transport: Transport, conn_id: str | None = None) -> None:
        self._transport = transport
        self._conn_id = conn_id
        self._in_flight = asyncio.Semaphore(transport.max_concurrency)

    async def disconnect(self) -> None:
        """Free the memory that idle connections hold; the next request opens new ones."""
        await self._transport.disconnect()

    async def close(self) -> None:
        """Close all connections, for good."""
        await self._transport.close()

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request once and return the response, whatever its status.

        :raises NotSentError: it never left this machine; a retry is safe.
        :raises ConnectionLostError: it may have arrived.
        :raises InvalidResponseError: the response is larger than any of EvoLink's.
        """
        try:
            async with self._in_flight, asyncio.timeout(request.total_timeout):
                return await self._transport.send(request)
        except EvoLinkError:
            raise
        except NotTransmittedError as error:
            raise _not_sent(request.context, self._peer(request), error.__cause__ or error) from error.__cause__
        except Exception as error:
            # After any other failure it may have arrived. The cause is dropped: it may quote an echo of the API key.
            raise _connection_lost(request.context, self._peer(request), error) from None

    def _peer(self, request: ApiRequest) -> str:
        """Return the host of a request, without anything secret that its URL may hold, and the connection."""
        url = urlsplit(request.url)
        host = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
        return host if self._conn_id is None else f"{host}, connection {self._conn_id!r}"


def default_headers(settings: Settings) -> dict[str, str]:
    """Return the headers of every request."""
    return {
        "Authorization": f"Bearer {settings.api_key}",
        "User-Agent": f"airflow-provider-evolink/{__version__}",
        "Accept": "application/json",
        # Responses are small, and without decompression there are no decompression bombs.
        "Accept-Encoding": "identity",
    }


async def read_body(chunks: AsyncIterable[bytes], encoding: str, context: RequestContext) -> bytes:
    """Read a response's body up to the size limit.

    :param encoding: the response's ``Content-Encoding``.
    :raises InvalidResponseError: it is larger than any of EvoLink's.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > _MAX_RESPONSE_BYTES:
            raise InvalidResponseError(
                f"The response to {context.what} is larger than {_MAX_RESPONSE_BYTES} bytes and can't be EvoLink's. "
                f"{context.cost_if_unknown}",
                advice="A retry may reach EvoLink itself.",
                generation_id=context.generation_id,
            )
    return _decompress(bytes(body), encoding)


def _decompress(body: bytes, encoding: str) -> bytes:
    """Decompress, up to the size limit, a body that was compressed although we asked for identity.

    No JSON starts like gzip, so gzip is recognized by its first bytes, whatever encoding a gateway declares.
    """
    if not body.startswith(_GZIP_MAGIC) and "deflate" not in encoding.lower():
        return body
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _MAX_RESPONSE_BYTES)
    except zlib.error:
        return body


def _not_sent(context: RequestContext, peer: str, error: BaseException) -> NotSentError:
    return NotSentError(
        f"EvoLink ({peer}) could not be reached for {context.what} ({type(error).__name__}: {error}). The request "
        f"never left this machine. {context.cost}{certificate_advice(error)}",
        advice="A retry is safe.",
        generation_id=context.generation_id,
    )


def _connection_lost(context: RequestContext, peer: str, error: Exception) -> ConnectionLostError:
    return ConnectionLostError(
        f"The response of EvoLink ({peer}) to {context.what} was lost ({type(error).__name__}). "
        f"{context.cost_if_unknown}",
        advice="A retry sends the request again.",
        generation_id=context.generation_id,
    )
