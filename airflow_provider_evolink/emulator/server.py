# SPDX-License-Identifier: Apache-2.0
"""Serve an emulator on a port: in the foreground for the command line, in a thread for tests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import uvicorn

from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.faults.interception import TransportProtocol
from airflow_provider_evolink.emulator.settings import Settings

STARTUP_SECONDS = 30
SHUTDOWN_SECONDS = 5


@dataclass(frozen=True)
class EmulatorHandle:
    """A running emulator.

    :param url: URL that it listens on; the host of an ``evolink`` connection.
    :param api_key: an API key that it accepts.
    :param control: client of its control API: faults, clock, settings, state, reset.
    """

    url: str
    api_key: str
    control: ControlClient

    @property
    def airflow_connection(self) -> str:
        """An Airflow connection to it, as JSON for ``AIRFLOW_CONN_EVOLINK_DEFAULT``."""
        return json.dumps({"conn_type": "evolink", "host": self.url, "password": self.api_key})


class Server(uvicorn.Server):
    """A uvicorn server that reports when it is ready, and does not handle signals.

    :param emulator: the emulator to serve.
    :param on_ready: called when it accepts requests.
    """

    def __init__(self, emulator: Emulator, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            emulator.application(),
            http=TransportProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
        )
        super().__init__(config)
        self._emulator = emulator
        self._on_ready = on_ready
        self.force_exit = True  # shut down without waiting for clients

    def capture_signals(self) -> Any:
        """Install no signal handlers."""
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then call ``on_ready``."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, close all connections, cancel all renderings."""
        self._emulator.renderer.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # let the connections notice before their requests are cancelled
        for request in list(self.server_state.tasks):
            request.cancel()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    :param host: address to listen on.
    :param port: port to listen on; 0 for any free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets created with an explicit protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def running(settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[EmulatorHandle]:
    """Run an emulator in a thread until the context exits.

    :param settings: initial settings; None for the defaults.
    :param host: address to listen on.
    :param port: port to listen on; 0 for any free one.
    :return: a handle to the emulator.
    :raises TimeoutError: it did not start within 30 s.
    """
    settings = settings or Settings()
    ready = threading.Event()
    listener = listen(host, port)
    url = address(listener)
    server = Server(Emulator(settings), ready.set)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve([listener])), name="evolink-emulator", daemon=True
    )
    thread.start()
    if not ready.wait(STARTUP_SECONDS):
        raise TimeoutError(f"The emulator did not start within {STARTUP_SECONDS} s.")
    try:
        with ControlClient(url) as control:
            yield EmulatorHandle(url, settings.api_keys[0], control)
    finally:
        server.should_exit = True
        thread.join(SHUTDOWN_SECONDS)
