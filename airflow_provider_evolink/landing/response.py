# SPDX-License-Identifier: Apache-2.0
"""An HTTP response with a deadline for every read, whose body bypasses the buffers that would copy it once more."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

# Received bytes are handed out no later than this.
_MAX_FILL_SECONDS = 0.1


class _DeadlineReader(io.RawIOBase):
    """A connection's bytes until a deadline; http.client alone reads on for as long as bytes trickle in."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        super().__init__()
        self._raw = raw
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        self._deadline = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if time.monotonic() > self._deadline:
            raise TimeoutError
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Response(http.client.HTTPResponse):
    """A response whose head, and each read of the body, arrives within a deadline or raises ``TimeoutError``.

    :param seconds: the deadline for the head and for each read.
    """

    def __init__(self, sock: socket.socket, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock
        self._reader = _DeadlineReader(self.fp.detach(), seconds)
        self.fp = io.BufferedReader(self._reader)
        self._is_drained = False
        self._failure: OSError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the body was read to its announced end, so that the connection can take another request."""
        return not self.will_close and not self.chunked and self.length == 0 and self._failure is None

    def read_some(self, buffer: memoryview) -> int:
        """Read into a buffer until it is full, the body ends, or a short time has passed.

        A failure never discards bytes that were received before it: it is raised by the next call.

        :return: the number of bytes read; 0 only at the end of the body.
        """
        if self._failure is not None:
            raise self._failure
        self._reader.restart()
        if self.chunked:
            piece = self.read1(len(buffer))
            buffer[: len(piece)] = piece
            return len(piece)
        if self.length is None:
            return self._fill(buffer)
        count = self._fill(buffer[: self.length])
        self.length -= count
        return count

    def _fill(self, buffer: memoryview) -> int:
        """Read past all layers but TLS, once the bytes that arrived with the head are consumed: the rest is body."""
        count, deadline = 0, time.monotonic() + _MAX_FILL_SECONDS
        if not self._is_drained:
            count = self.fp.readinto1(buffer)
            if not count:
                return 0
            # Where it filled the buffer there may be more: from Python 3.14 on, 128 KiB can arrive with the head.
            self._is_drained = count < len(buffer)
        receive = self._socket.recv_into
        try:
            while count < len(buffer) and time.monotonic() < deadline:
                more = receive(buffer[count:])
                if not more:
                    break
                count += more
        except OSError as error:
            if not count:
                raise
            self._failure = error
        return count
