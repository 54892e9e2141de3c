# SPDX-License-Identifier: Apache-2.0
"""Goes through an HTTP proxy: asks it for a connection to a host, and speaks TLS through that."""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from contextlib import closing
from typing import cast
from urllib.parse import SplitResult, unquote

_USUAL_PORTS = {"http": 80, "https": 443}


def address_of(proxy: SplitResult) -> tuple[str, int]:
    """Return where a proxy listens."""
    return proxy.hostname or "", proxy.port or _USUAL_PORTS[proxy.scheme]


def ask(sock: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    """
    Have a proxy connect to a host, of which it resolves the name.

    :param sock: a connection to the proxy.
    :raises OSError, http.client.HTTPException: the proxy did not do it.
    """
    name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}", *_credentials(proxy), "", ""]
    sock.sendall("\r\n".join(lines).encode("ascii"))
    with closing(http.client.HTTPResponse(sock, method="CONNECT")) as response:
        response.begin()
        if not 200 <= response.status < 300:
            raise OSError(f"the proxy answers HTTP {response.status}")


def secure(sock: socket.socket, host: str, context: ssl.SSLContext) -> socket.socket:
    """Speak TLS over a connection, which may be one that speaks TLS with a proxy already."""
    if not isinstance(sock, ssl.SSLSocket):
        return context.wrap_socket(sock, server_hostname=host)
    from urllib3.util.ssltransport import SSLTransport

    # The standard library can't speak TLS within TLS.
    return cast(socket.socket, SSLTransport(sock, context, server_hostname=host))


def _credentials(proxy: SplitResult) -> list[str]:
    if not proxy.username:
        return []
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [f"Proxy-Authorization: Basic {b64encode(secret.encode()).decode()}"]
