# SPDX-License-Identifier: Apache-2.0
"""Have posters drawn by a process of its own: one for a task, which starts with the first poster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self

_MODULE = "airflow_provider_evolink.posters.drawing.process"
# Longer than the process itself allows, starting included.
_TIMEOUT_SECONDS = 60.0
# After this many in a row, no other is started: it is not the files that end them.
_MAX_DEAD = 3
# What the process may need to start. It gets no other variable: they hold Airflow's secrets.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")


class NoPosterError(Exception):
    """There is no poster of a file; the text says why, without a stop at the end."""


class Painter:
    """Draw posters, one at a time however many threads ask for them.

    A context, whose end ends the process.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._dead = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; another poster would start another one."""
        with self._lock:
            self._stop()

    def draw(self, file: BinaryIO, *, is_video: bool) -> bytes:
        """Draw the poster of a media file, as a JPEG.

        :param file: open for reading; its position changes.
        :param is_video: whether it moves.
        :raises NoPosterError: there is none.
        """
        with self._lock:
            if self._dead >= _MAX_DEAD:
                raise NoPosterError("decoding has ended several times in a row, and is not tried any more in this task")
            try:
                state, payload = self._ask(file, is_video)
            except (OSError, EOFError, ValueError) as error:
                self._dead += 1
                self._stop()
                raise NoPosterError(
                    "decoding it took too much time or memory, or ended the process that did it"
                ) from error
            except BaseException:
                # A kill in between: what the process draws would be taken for the next poster.
                self._stop()
                raise
            self._dead = 0
        if not state:
            raise NoPosterError(payload.decode(errors="replace"))
        return payload

    def _ask(self, file: BinaryIO, is_video: bool) -> tuple[bool, bytes]:
        connection = self._connection or self._start()
        file.flush()
        socket.send_fds(connection, [b"v" if is_video else b"p"], [file.fileno()])
        head = _receive(connection, 5)
        return bool(head[0]), _receive(connection, int.from_bytes(head[1:]))

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(_TIMEOUT_SECONDS)
        self._connection = ours
        variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                env={**variables, "PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_ARENA_MAX": "2"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return ours

    def _stop(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None:
            with suppress(OSError):
                process.kill()
            process.wait()


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise EOFError
        received += part
    return received
