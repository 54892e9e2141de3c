# SPDX-License-Identifier: Apache-2.0
"""Puts an emulator on a port: in the foreground for the command line, in a thread for tests."""

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
from airflow_provider_evolink.emulator.control import Control
from airflow_provider_evolink.emulator.exchange import OpenProtocol
from airflow_provider_evolink.emulator.settings import Settings

STARTUP_SECONDS = 30
SHUTDOWN_SECONDS = 5


@dataclass(frozen=True)
class EmulatorHandle:
    """A running emulator.

    :param url: where it listens; the host of an `evolink` connection.
    :param api_key: a key it takes.
    :param control: switches faults, shows the state, resets.
    """

    url: str
    api_key: str
    control: Control

    @property
    def airflow_connection(self) -> str:
        """An Airflow connection to it, as JSON for `AIRFLOW_CONN_EVOLINK_DEFAULT`."""
        return json.dumps({"conn_type": "evolink", "host": self.url, "password": self.api_key})


class Server(uvicorn.Server):
    """A uvicorn that tells when it is ready, and leaves signals to others.

    :param emulator: what it serves.
    :param on_ready: called once it answers.
    """

    def __init__(self, emulator: Emulator, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            emulator.application(),
            http=OpenProtocol,
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
        self.force_exit = True  # on shutdown, wait for nobody

    def capture_signals(self) -> Any:
        """Leave signals alone."""
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, hang up, stop rendering."""
        self._emulator.studio.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the connections learn that they are gone before their requests do
        for request in list(self.server_state.tasks):
            request.cancel()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    :param host: address to listen at.
    :param port: port; 0 for any free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only for sockets whose protocol is named
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
    """Run an emulator in a thread, as long as the context lasts.

    :param settings: how it starts.
    :param host: address to listen at.
    :param port: port; 0 for any free one.
    :return: a handle on it.
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
        raise TimeoutError(f"The emulator did not start within {STARTUP_SECONDS} s")
    try:
        with Control(url) as control:
            yield EmulatorHandle(url, settings.keys[0], control)
    finally:
        server.should_exit = True
        thread.join(SHUTDOWN_SECONDS)
