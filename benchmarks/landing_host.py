# SPDX-License-Identifier: Apache-2.0
"""A media host that costs next to nothing: one file, sent as fast as the kernel (http) or OpenSSL (https) can.

``python -m benchmarks.landing_host FILE [CERTIFICATE]`` prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import mmap
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_CHUNK = 1024 * 1024


def head(size: int) -> bytes:
    """Return the head of the only response."""
    lines = ("HTTP/1.1 200 OK", "Content-Type: video/mp4", f"Content-Length: {size}", 'ETag: "v1"', "Connection: close")
    return "\r\n".join((*lines, "", "")).encode()


def sender(path: Path) -> Callable[[socket.socket], None]:
    """Return a function that sends the file: over TLS from memory, otherwise by the kernel alone."""
    file = path.open("rb")
    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def send(connection: socket.socket) -> None:
        if not isinstance(connection, ssl.SSLSocket):
            connection.sendfile(file)
            return
        for start in range(0, len(view), _CHUNK):
            connection.sendall(view[start : start + _CHUNK])

    return send


def respond(connection: socket.socket, tls: ssl.SSLContext | None, send: Callable[[socket.socket], None]) -> None:
    """Read a request to its end, whatever it is, and send the file."""
    with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
        request = b""
        while b"\r\n\r\n" not in request:
            request += stream.recv(65536)
        stream.sendall(head(Path(sys.argv[1]).stat().st_size))
        send(stream)
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass


def main() -> None:
    """Serve from a thread, on the last core, until standard input closes."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0))
    send = sender(Path(sys.argv[1]))

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            respond(connection, tls, send)

    threading.Thread(target=serve, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
