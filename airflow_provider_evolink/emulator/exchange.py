# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange, low enough to misbehave: an answer can be held back, changed, cut or replaced by silence."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "evolink_emulator.transport"
_RESET_INSTEAD_OF_FIN = struct.pack("ii", 1, 0)


class OpenProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which lets the application reach for the connection itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the transport to every request on this connection."""
        super().connection_made(transport)
        inner: ASGIApp = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, _TRANSPORT: transport}, receive, send)

        self.app = app


@dataclass(frozen=True)
class Answer:
    """A whole answer, held back.

    :param status: HTTP status.
    :param headers: raw, as ASGI has them.
    :param body: all of it; empty for a HEAD request.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def without_header(self, name: str) -> Answer:
        """Return the answer without a header."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0] != name.encode()))

    def with_body(self, body: bytes) -> Answer:
        """Return the answer with another body, and the length to match."""
        headers = MutableHeaders(raw=list(self.headers))
        headers["content-length"] = str(len(body))
        return replace(self, headers=tuple(headers.raw), body=body)

    @classmethod
    def of(cls, response: Response) -> Answer:
        """Take over a response that Starlette built."""
        return cls(response.status_code, tuple(response.raw_headers), bytes(response.body))


class Exchange:
    """One request and what becomes of it.

    :param endpoint: its name.
    :param app: what answers it properly.
    """

    def __init__(self, endpoint: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.endpoint = endpoint
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send

    async def proceed(self, dropping: str | None = None) -> Answer:
        """Let the request take effect, and return its answer instead of sending it.

        :param dropping: a request header to keep from the application.
        """
        headers = [pair for pair in self._scope["headers"] if pair[0].decode("latin-1") != dropping]
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._app({**self._scope, "headers": headers}, self._receive, collect)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return Answer(messages[0]["status"], tuple(messages[0]["headers"]), body)

    async def read_all(self) -> None:
        """Take the whole request in, so that the client is done sending."""
        while (message := await self._receive())["type"] == "http.request" and message.get("more_body"):
            pass

    async def answer(self, answer: Answer) -> None:
        """Send an answer."""
        await self.begin(answer)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def begin(self, answer: Answer) -> None:
        """Send an answer's status and headers only."""
        headers = list(answer.headers)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def continue_with(self, body: bytes) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def hang_up(self, *, politely: bool = False) -> None:
        """Close the connection.

        :param politely: send what is underway first; else the client sees a reset.
        """
        transport: asyncio.Transport = self._scope[_TRANSPORT]
        if politely:
            transport.close()
        elif not transport.is_closing():
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_INSTEAD_OF_FIN)
            transport.abort()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def is_over(self) -> bool:
        """Whether the connection is closed."""
        transport: asyncio.Transport = self._scope[_TRANSPORT]
        return transport.is_closing()


def tagged(app: ASGIApp, tag: Callable[[], dict[str, str]]) -> ASGIApp:
    """Wrap an application so that all its answers carry more headers.

    :param app: the application.
    :param tag: makes an answer's additional headers.
    """

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(tag())
            await send(message)

        with suppress(asyncio.CancelledError):  # the server shuts down; nothing to complain about
            await app(scope, receive, send_tagged)

    return wrapper
