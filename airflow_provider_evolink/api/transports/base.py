# SPDX-License-Identifier: Apache-2.0
"""
One account's way over HTTP, whoever carries it.

A :class:`Call` describes a request once, and :class:`Wire` sends it: bounded in time, in bytes and in how many are in
flight, and with every failure of the network told apart by whether the request can have arrived. How bytes travel is
left to a :class:`Carrier`: :mod:`~airflow_provider_evolink.api.transports.httpx_transport` for everything that costs money, and
:mod:`~airflow_provider_evolink.api.transports.aiohttp_transport` for the many small reads of those who wait.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.errors import (
    ConnectionLostError,
    EvoLinkError,
    InvalidResponseError,
    NotSentError,
)
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.tls import certificate_advice

CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 75.0
# How many reads may be under way where each asks for one generation.
MAX_POLL_CONNECTIONS = 128
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
# The slowest line on which a large request still has the time it takes.
_SLOWEST_BYTES_PER_SECOND = 64 * 1024
_GZIP_OR_ZLIB, _GZIP_MAGIC = 47, b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """
    One request, and what its failure means.

    :param question: what is asked, for the text of an error.
    :param seconds: to wait for the next bytes of the answer.
    :param is_paid: whether it costs money if it arrives.
    """

    method: str
    url: str
    context: RequestContext
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] | None = None
    seconds: float = 15.0
    is_paid: bool = False

    @property
    def total_seconds(self) -> float:
        """How long it may take in all."""
        return CONNECT_SECONDS + 2 * self.seconds + len(self.content or b"") / _SLOWEST_BYTES_PER_SECOND


class NotTransmittedError(Exception):
    """A request never left; the cause says why."""


class Transport(Protocol):
    """Carries calls to one account, over connections that it keeps."""

    max_concurrency: int
    """How many calls it carries well at a time."""

    async def send(self, request: ApiRequest) -> ApiResponse:
        """
        Send a call once and return the whole answer, read with :func:`whole`.

        :raises NotTransmittedError: it never left; whatever else is raised, it may have arrived.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class RequestSender:
    """
    Sends calls to one account.

    :param carrier: takes them there.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._gate = asyncio.Semaphore(transport.max_concurrency)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def send(self, request: ApiRequest) -> ApiResponse:
        """
        Send a call once and return the whole answer, whatever its status.

        :raises NotSentError: it never left.
        :raises ConnectionLostError: it may have arrived.
        :raises InvalidResponseError: the answer is larger than any of EvoLink's.
        """
        try:
            async with self._gate, asyncio.timeout(request.total_seconds):
                return await self._transport.send(request)
        except EvoLinkError:
            raise
        except NotTransmittedError as error:
            raise _not_sent(request.context, error.__cause__ or error) from error.__cause__
        except Exception as error:
            # Whatever else went wrong, it may have arrived. Without its cause, which may quote what came: an echo of
            # the key.
            raise _lost(request.context, error) from None


def default_headers(settings: Settings) -> dict[str, str]:
    """Headers of every request."""
    return {
        "Authorization": f"Bearer {settings.api_key}",
        "User-Agent": f"airflow-provider-evolink/{__version__}",
        "Accept": "application/json",
        # Answers are small, and what is not unpacked can't be a bomb.
        "Accept-Encoding": "identity",
    }


async def read_body(chunks: AsyncIterable[bytes], encoding: str, context: RequestContext) -> bytes:
    """
    Read an answer's body, and no more of it than is allowed.

    :param encoding: of the body, as the answer says.
    :raises InvalidResponseError: it is larger than any of EvoLink's.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise InvalidResponseError(
                f"Something answered {context.what} with more than {_MAX_ANSWER_BYTES} bytes. "
                f"{context.cost_if_unknown} A retry may reach EvoLink itself.",
                generation_id=context.generation_id,
            )
    return _unpacked(bytes(body), encoding)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """
    Unpack an answer that was packed though we asked for it plain, and no more of it than is allowed.

    No JSON begins as gzip does, so that is known by itself, whatever a gateway calls it.
    """
    if not body.startswith(_GZIP_MAGIC) and "deflate" not in encoding.lower():
        return body
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _MAX_ANSWER_BYTES)
    except zlib.error:
        return body


def _not_sent(context: RequestContext, error: BaseException) -> NotSentError:
    return NotSentError(
        f"EvoLink could not be reached for {context.what} ({type(error).__name__}: {error}). "
        f"The request never left. {context.cost}{certificate_advice(error)} A retry is safe.",
        generation_id=context.generation_id,
    )


def _lost(context: RequestContext, error: Exception) -> ConnectionLostError:
    return ConnectionLostError(
        f"EvoLink's answer to {context.what} was lost ({type(error).__name__}). {context.cost_if_unknown} "
        "A retry asks again.",
        generation_id=context.generation_id,
    )
