# SPDX-License-Identifier: Apache-2.0
"""Intercept requests at the ASGI level, so that a response can be delayed, altered, cut off or dropped."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, replace

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "evolink_emulator.transport"
_LINGER_ZERO = struct.pack("ii", 1, 0)  # makes close() send RST instead of FIN


class TransportProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, which passes the transport of the connection to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Add the transport to the scope of every request on this connection."""
        super().connection_made(transport)
        inner: ASGIApp = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, _TRANSPORT: transport}, receive, send)

        self.app = app


@dataclass(frozen=True)
class CapturedResponse:
    """A complete response that has not been sent.

    :param status: HTTP status.
    :param headers: raw headers, as in ASGI.
    :param body: the whole body; empty for a HEAD request.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def without_header(self, name: str) -> CapturedResponse:
        """Return the response without a header."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0] != name.encode()))

    def with_body(self, body: bytes) -> CapturedResponse:
        """Return the response with another body and the matching content length."""
        headers = MutableHeaders(raw=list(self.headers))
        headers["content-length"] = str(len(body))
        return replace(self, headers=tuple(headers.raw), body=body)

    @classmethod
    def from_starlette(cls, response: Response) -> CapturedResponse:
        """Convert a Starlette response."""
        return cls(response.status_code, tuple(response.raw_headers), bytes(response.body))


class InterceptedRequest:
    """A request that a fault fires on.

    :param endpoint: name of its endpoint.
    :param app: the application that would handle it.
    """

    def __init__(self, endpoint: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.endpoint = endpoint
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send

    async def process(self, without_header: str | None = None) -> CapturedResponse:
        """Let the application handle the request, and capture its response.

        :param without_header: request header to hide from the application.
        """
        headers = [pair for pair in self._scope["headers"] if pair[0].decode("latin-1") != without_header]
        messages: list[Message] = []

        async def capture(message: Message) -> None:
            messages.append(message)

        await self._app({**self._scope, "headers": headers}, self._receive, capture)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return CapturedResponse(messages[0]["status"], tuple(messages[0]["headers"]), body)

    async def drain(self) -> None:
        """Read the whole request, so that the client finishes sending it."""
        while (message := await self._receive())["type"] == "http.request" and message.get("more_body"):
            pass

    async def respond(self, response: CapturedResponse) -> None:
        """Send a response."""
        await self.send_headers(response)
        await self._send({"type": "http.response.body", "body": response.body})

    async def send_headers(self, response: CapturedResponse) -> None:
        """Send only the status and headers of a response."""
        headers = list(response.headers)
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})

    async def send_chunk(self, chunk: bytes) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def close(self, *, graceful: bool = False) -> None:
        """Close the connection.

        :param graceful: flush pending data and send FIN; otherwise the client gets a connection reset.
        """
        transport: asyncio.Transport = self._scope[_TRANSPORT]
        if graceful:
            transport.close()
        elif not transport.is_closing():
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            transport.abort()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed."""
        transport: asyncio.Transport = self._scope[_TRANSPORT]
        return transport.is_closing()
