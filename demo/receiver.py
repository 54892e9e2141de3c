# SPDX-License-Identifier: Apache-2.0
"""A website to publish to: it takes whatever is posted, and shows what came."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Receiver:
    """Listens on the loopback address while its context lasts."""

    def __init__(self) -> None:
        self.published: list[Any] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.published))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def connection(self) -> str:
        """An Airflow connection to it, as JSON."""
        return json.dumps({"conn_type": "http", "host": self.url})

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _handler(published: list[Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            published.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing: the screen is not ours."""

    return Handler
