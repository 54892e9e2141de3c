# SPDX-License-Identifier: Apache-2.0
"""Reads an answer in time or not at all, past every layer that would copy its bytes once more."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

# Nobody has to wait longer for what has come.
_MOMENT = 0.1


class _Clocked(io.RawIOBase):
    """The bytes of a connection, until its time is up: http.client reads on for as long as anything comes."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        super().__init__()
        self._raw = raw
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        self._end = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if time.monotonic() > self._end:
            raise TimeoutError
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Response(http.client.HTTPResponse):
    """An answer of which the head, and each piece of the body, comes in time or not at all."""

    def __init__(self, sock: socket.socket, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock
        self._clocked = _Clocked(self.fp.detach(), seconds)
        self.fp = io.BufferedReader(self._clocked)
        self._is_begun = False
        self._failure: OSError | None = None

    def read_some(self, memory: memoryview) -> int:
        """
        Put there what comes until it is full, the body ends, or a moment has passed; return how much came.

        A failure never takes bytes with it that came before: it is raised by the next call then.

        :return: 0 at the end only.
        """
        if self._failure is not None:
            raise self._failure
        self._clocked.restart()
        if self.chunked:
            piece = self.read1(len(memory))
            memory[: len(piece)] = piece
            return len(piece)
        if self.length is None:
            return self._fill(memory)
        count = self._fill(memory[: self.length])
        self.length -= count
        return count

    def _fill(self, memory: memoryview) -> int:
        """Read past all layers but TLS, once the bytes that came with the head are taken: the body is the rest."""
        count, end = 0, time.monotonic() + _MOMENT
        if not self._is_begun:
            self._is_begun = True
            count = self.fp.readinto1(memory)
            if not count:
                return 0
        receive = self._socket.recv_into
        try:
            while count < len(memory) and time.monotonic() < end:
                more = receive(memory[count:])
                if not more:
                    break
                count += more
        except OSError as error:
            if not count:
                raise
            self._failure = error
        return count
