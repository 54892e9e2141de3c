# SPDX-License-Identifier: Apache-2.0
"""A server for all contenders, cheap enough to share a machine with them: a bare protocol on uvloop.

It responds to every request after the same time, over TLS, and counts requests and connections.
``python -m benchmarks.stub`` prints its port, and exits when its standard input closes. Other benchmarks run it with
responses of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

import uvloop

from benchmarks import bodies

COUNTS_PATH = "/counts"
JSON = "application/json"
_BACKLOG = 4096

# From method, path and body to status, body and media type.
Respond = Callable[[str, str, bytes], tuple[int, bytes, str]]


@dataclass
class Counts:
    """What the stub has received; reading the counts is not counted, but its connection is."""

    requests: int = 0
    connections: int = 0


class Server:
    """What all connections share.

    :param latency: seconds until a response.
    :param respond: makes the responses.
    """

    def __init__(self, latency: float, respond: Respond) -> None:
        self.counts = Counts()
        self.latency = latency
        self._respond = respond

    def respond(self, method: str, path: str, body: bytes) -> bytes:
        """Return a complete response."""
        if path == COUNTS_PATH:
            return _response(200, json.dumps(asdict(self.counts)).encode(), JSON)
        return _response(*self._respond(method, path, body))


class Connection(asyncio.Protocol):
    """One connection: requests in, one at a time, responses out after the latency."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = transport  # type: ignore[assignment]
        self._server.counts.connections += 1

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Stop responding."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Process a request once it is complete."""
        self._received += data
        head, end, body = bytes(self._received).partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received.clear()
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if path != COUNTS_PATH:
            self._server.counts.requests += 1
        asyncio.get_running_loop().call_later(self._server.latency, partial(self._respond, method, path, body))

    def _respond(self, method: str, path: str, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(self._server.respond(method, path, body))


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _response(status: int, body: bytes, media_type: str) -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: nginx\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Id: 20261124100000000000000000000000\r\n\r\n"
    )
    return head.encode() + body


async def _serve(server: Server, tls: ssl.SSLContext, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Connection(server), sock=listener, ssl=tls, backlog=_BACKLOG)
    print(_port(listener), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)  # clients that were cut off may keep their connections open


def serve(options: argparse.Namespace, make_respond: Callable[[str], Respond]) -> None:
    """Serve until standard input closes.

    :param options: parsed by :func:`arguments`.
    :param make_respond: gets the scheme, host and port of the stub, and returns what makes its responses.
    """
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    server = Server(options.latency, make_respond(f"https://127.0.0.1:{_port(listener)}"))
    uvloop.run(_serve(server, tls, listener))


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every stub takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--certificate", type=Path, required=True, help="PEM with key and certificate")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds until a response")
    parser.add_argument("--core", type=int, help="CPU core to run on")
    return parser


def main() -> None:
    """Stand in for EvoLink, and for the services of its peers."""
    parser = arguments("the benchmarks' stub")
    parser.add_argument("--no-batch", action="store_true", help="respond to POST /v1/tasks/batch with 404")
    options = parser.parse_args()

    def respond(method: str, path: str, body: bytes) -> tuple[int, bytes, str]:
        return *bodies.respond(method, path, body, time.time(), takes_batches=not options.no_batch), JSON

    serve(options, lambda _: respond)


if __name__ == "__main__":
    main()
