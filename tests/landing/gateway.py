# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy for the S3 server of the tests, with S3 features that the server lacks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from testkit.s3 import S3

PRECONDITION_FAILED = (
    b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified did not hold"
    b"</Message><Condition>If-None-Match</Condition></Error>"
)


class Gateway(BaseHTTPRequestHandler):
    """Forward requests to the S3 server, refuse those that match ``refused``, and add conditional writes.

    ``conditions`` is "honored" (like S3: an object is only created if there is none), "ignored" (like the server behind
    it), or "refused" (like other stores). ``refusal`` is the status and the code of a refused request.
    """

    protocol_version = "HTTP/1.1"
    upstream: str
    refused: tuple[str, str]
    refusal = (403, "AccessDenied")
    conditions = "ignored"
    created: ClassVar[set[str]]
    lock: ClassVar[threading.Lock]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        creates = (self.command == "PUT" and "partNumber" not in query) or (
            self.command == "POST" and query.startswith("uploadId")
        )
        if self.command == self.refused[0] and self.refused[1] in self.path:
            status, code = self.refusal
            self._respond(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
        elif self.headers.get("If-None-Match") and self.conditions == "refused":
            self._respond(501, {}, b"<Error><Code>NotImplemented</Code><Message>No such header.</Message></Error>")
        elif creates and self.conditions == "honored":
            with self.lock:
                if self.headers.get("If-None-Match") == "*" and path in self.created:
                    self._respond(412, {}, PRECONDITION_FAILED)
                elif self._relay(body) == 200:
                    self.created.add(path)
        else:
            self._relay(body)

    def _relay(self, body: bytes) -> int:
        connection = HTTPConnection(self.upstream)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        self._respond(response.status, dict(response.headers), response.read())
        connection.close()
        return response.status

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower().startswith(("etag", "content-type", "last-modified", "x-amz-meta")):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)

    do_GET = _forward  # noqa: N815 - the base's names
    do_PUT = _forward  # noqa: N815
    do_POST = _forward  # noqa: N815
    do_DELETE = _forward  # noqa: N815
    do_HEAD = _forward  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def gateway_to(s3: S3) -> Iterator[Any]:
    """Run a reverse proxy in front of S3; its attribute ``refused`` selects requests that fail."""
    attributes = {
        "upstream": s3.url.removeprefix("http://"),
        "refused": ("none", "none"),
        "created": set(),
        "lock": threading.Lock(),
    }
    handler = type("Gateway", (Gateway,), attributes)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield handler
    server.shutdown()
    server.server_close()
