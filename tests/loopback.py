# SPDX-License-Identifier: Apache-2.0
"""A server on this machine that responds as a test demands, byte by byte.

The emulator responds as EvoLink does, faults included. This server is for responses that no sane server sends, and for
counting connections.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.emulator.server import EmulatorHandle

Write = Callable[[bytes], Awaitable[None]]
Responder = Callable[["ReceivedRequest", Write], Awaitable[None]]


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Loopback:
    """A running server.

    :param respond: writes each response.
    :param hangs_up: close a connection after its first response.
    :param url: its address.
    :param connections: connections accepted so far; ``open`` is those open now, ``most_open`` their maximum.
    """

    respond: Responder
    hangs_up: bool = False
    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to the requests of one connection until either side closes it."""
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while (request := await _request(reader)) is not None:
                    self.requests.append(request)
                    await self.respond(request, write)
                    if self.hangs_up:
                        break
        finally:
            self.open -= 1
            writer.close()


async def _request(reader: asyncio.StreamReader) -> ReceivedRequest | None:
    first = await reader.readline()
    if not first:
        return None
    method, target, _ = first.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return ReceivedRequest(method, target, headers, body)


def http_response(value: Any, status: int = 200, **headers: str) -> bytes:
    """Build an HTTP response with a JSON body, or with the given bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    more = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def always(value: Any, status: int = 200, **headers: str) -> Responder:
    """Return a responder that gives every request the same response."""
    data = http_response(value, status, **headers)

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(data)

    return respond


@contextmanager
def serving(respond: Responder, *, hangs_up: bool = False, certificate: Path | None = None) -> Iterator[Loopback]:
    """Run a server in its own thread as long as the context lasts.

    :param respond: writes each response.
    :param hangs_up: close a connection after its first response.
    :param certificate: PEM file with certificate and private key, for https.
    """
    server = Loopback(respond, hangs_up)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loopback", daemon=True)
    thread.start()
    listener = asyncio.run_coroutine_threadsafe(_start(server, certificate), loop).result(5)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_stop(listener), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _start(server: Loopback, certificate: Path | None) -> asyncio.Server:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20, ssl=tls)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    return listener


async def _stop(listener: asyncio.Server) -> None:
    listener.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    await asyncio.sleep(0)


def settings_for(server: EmulatorHandle | Loopback, **changes: Any) -> Settings:
    """Return the settings of an account at a server on this machine."""
    key = server.api_key if isinstance(server, EmulatorHandle) else "sk-planted-key-4711"
    return Settings(base_url=server.url, files_url=server.url, api_key=key, **changes)
