# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy on this machine that connects every CONNECT to one local port, whatever host is requested."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class ConnectProxy:
    """A running proxy.

    :param to: local port that every tunnel leads to.
    :param status: its response to CONNECT.
    :param requests: target and ``Proxy-Authorization`` of every CONNECT.
    """

    to: int
    status: int = 200
    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def connect_proxy(to: int, *, status: int = 200, certificate: Path | None = None) -> Iterator[ConnectProxy]:
    """Run a proxy as long as the context lasts.

    :param to: local port that every tunnel leads to.
    :param status: its response to CONNECT.
    :param certificate: makes it an https proxy, as ``localhost``.
    """
    proxy = ConnectProxy(to, status)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy.url = f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: ConnectProxy

    def do_CONNECT(self) -> None:
        self.proxy.requests.append((self.path, self.headers.get("Proxy-Authorization")))
        self.close_connection = True
        if self.proxy.status != 200:
            self.send_error(self.proxy.status)
            return
        with socket.create_connection(("127.0.0.1", self.proxy.to)) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pour, args=(upstream, self.connection), daemon=True)
            back.start()
            _pour(self.connection, upstream)
            back.join(5)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError, ValueError):
        target.shutdown(socket.SHUT_WR)
