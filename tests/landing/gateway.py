"""What stands between a client and the S3 server, and can do what that server does not do."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

PRECONDITION_FAILED = (
    b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified did not hold"
    b"</Message><Condition>If-None-Match</Condition></Error>"
)


class Gateway(BaseHTTPRequestHandler):
    """
    Stands before the S3 server, turns requests down that match ``refused``, and does what that server does not do.

    ``conditions`` is "honoured" (as S3 does: an object is only made where none is), "ignored" (as the server behind
    does), or "refused" (as others do).
    """

    protocol_version = "HTTP/1.1"
    to: str
    refused: tuple[str, str]
    conditions = "ignored"
    made: ClassVar[set[str]]
    lock: ClassVar[threading.Lock]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        makes = (self.command == "PUT" and "partNumber" not in query) or (
            self.command == "POST" and query.startswith("uploadId")
        )
        if self.command == self.refused[0] and self.refused[1] in self.path:
            self._answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
        elif self.headers.get("If-None-Match") and self.conditions == "refused":
            self._answer(501, {}, b"<Error><Code>NotImplemented</Code><Message>No such header.</Message></Error>")
        elif makes and self.conditions == "honoured":
            with self.lock:
                if self.headers.get("If-None-Match") == "*" and path in self.made:
                    self._answer(412, {}, PRECONDITION_FAILED)
                elif self._pass_on(body) == 200:
                    self.made.add(path)
        else:
            self._pass_on(body)

    def _pass_on(self, body: bytes) -> int:
        connection = HTTPConnection(self.to)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        self._answer(response.status, dict(response.headers), response.read())
        connection.close()
        return response.status

    def _answer(self, status: int, headers: dict[str, str], answer: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower().startswith(("etag", "content-type", "last-modified", "x-amz-meta")):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = _forward  # noqa: N815 - the base's names
    do_PUT = _forward  # noqa: N815
    do_POST = _forward  # noqa: N815
    do_DELETE = _forward  # noqa: N815
    do_HEAD = _forward  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass
