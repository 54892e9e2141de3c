# SPDX-License-Identifier: Apache-2.0
"""Reach a host through an HTTP proxy: open a CONNECT tunnel, and start TLS inside it."""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from contextlib import closing
from typing import cast
from urllib.parse import SplitResult, unquote

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_address(proxy: SplitResult) -> tuple[str, int]:
    """Return the host and port of a proxy."""
    return proxy.hostname or "", proxy.port or _DEFAULT_PORTS[proxy.scheme]


def open_tunnel(sock: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    """Have a proxy connect to a host; the proxy resolves the host's name.

    :param sock: a connection to the proxy.
    :raises OSError, http.client.HTTPException: the proxy did not connect.
    """
    name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}", *_credentials(proxy), "", ""]
    sock.sendall("\r\n".join(lines).encode("ascii"))
    with closing(http.client.HTTPResponse(sock, method="CONNECT")) as response:
        response.begin()
        if not 200 <= response.status < 300:
            raise OSError(f"the proxy answered HTTP {response.status}")


def start_tls(sock: socket.socket, host: str, context: ssl.SSLContext) -> socket.socket:
    """Start TLS on a connection, which may be a TLS connection to a proxy already."""
    if not isinstance(sock, ssl.SSLSocket):
        return context.wrap_socket(sock, server_hostname=host)
    from urllib3.util.ssltransport import SSLTransport

    # The standard library does not support TLS within TLS.
    return cast(socket.socket, SSLTransport(sock, context, server_hostname=host))


def _credentials(proxy: SplitResult) -> list[str]:
    if not proxy.username:
        return []
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [f"Proxy-Authorization: Basic {b64encode(secret.encode()).decode()}"]
