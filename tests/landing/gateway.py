# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy for the storage servers of the tests, with failures, and with features that the servers lack."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

PRECONDITION_FAILED = (
    b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified did not hold"
    b"</Message><Condition>If-None-Match</Condition></Error>"
)
_ONLY_NEW = "ifGenerationMatch=0"
# They describe one connection, or are sent anew.
_NOT_RELAYED = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


class Gateway(BaseHTTPRequestHandler):
    """Forward requests to a storage server, let those that match ``refused`` fail, and add conditional writes.

    ``refused`` is a method and a part of the path and query; the first ``passing`` of them pass. ``refusal`` is the
    status and the code of their response; with a status of 0 there is none until ``released`` is set.
    ``conditions`` is "honored" (like S3: an object is only created if there is none), "ignored" (like the server behind
    it), or "refused" (like other stores). ``reached`` is set when a request has failed.
    """

    protocol_version = "HTTP/1.1"
    upstream: str
    url: str
    refused: tuple[str, str]
    passing = 0
    refusal = (403, "AccessDenied")
    conditions = "ignored"
    created: ClassVar[set[str]]
    lock: ClassVar[threading.Lock]
    reached: ClassVar[threading.Event]
    released: ClassVar[threading.Event]

    def _forward(self) -> None:
        body = self._body()
        if self._fails():
            self._refuse()
        elif self._condition() and self.conditions == "refused":
            self._respond(501, {}, b"<Error><Code>NotImplemented</Code><Message>No such header.</Message></Error>")
        elif (name := self._created_name()) and self.conditions == "honored":
            self._create(name, body)
        else:
            self._relay(body)

    def _fails(self) -> bool:
        if self.command != self.refused[0] or self.refused[1] not in self.path:
            return False
        with self.lock:
            handler = type(self)
            handler.passing -= 1
            return handler.passing < 0

    def _refuse(self) -> None:
        self.reached.set()
        status, code = self.refusal
        if status:
            self._respond(status, {"x-ms-error-code": code}, f"<Error><Code>{code}</Code></Error>".encode())
        else:
            self.released.wait(60)
            self.close_connection = True

    def _create(self, name: str, body: bytes) -> None:
        with self.lock:
            if self._condition() and name in self.created:
                self._respond(412, {}, PRECONDITION_FAILED)
            elif self._relay(body) == 200:
                self.created.add(name)

    def _condition(self) -> bool:
        """Return whether an object is to be created only if there is none."""
        return self.headers.get("If-None-Match") == "*"

    def _created_name(self) -> str | None:
        """Return the object that this request creates, if it does."""
        path, _, query = self.path.partition("?")
        is_put = self.command == "PUT" and "partNumber" not in query
        return path if is_put or (self.command == "POST" and query.startswith("uploadId")) else None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _relay(self, body: bytes) -> int:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        with closing(HTTPConnection(self.upstream)) as connection:
            connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            response = connection.getresponse()
            self._respond(
                response.status, {name.title(): value for name, value in response.getheaders()}, response.read()
            )
            return response.status

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_RELAYED:
                self.send_header(name, value.replace(f"http://{self.upstream}", self.url))
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


class GcsGateway(Gateway):
    """Keep the condition of a resumable upload in its link, as Google does, and honor it when the upload completes.

    fake-gcs-server forgets it, unless it is newer than its pull request 2260.
    """

    def _condition(self) -> bool:
        return _ONLY_NEW in self.path

    def _created_name(self) -> str | None:
        completes = not self.headers.get("Content-Range", "*").endswith("*")
        return parse_qs(urlsplit(self.path).query)["name"][0] if completes else None

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self._condition() and "Location" in headers:
            headers["Location"] += f"&{_ONLY_NEW}"
        super()._respond(status, headers, body)


@contextmanager
def gateway_to(url: str, kind: type[Gateway] = Gateway) -> Iterator[Any]:
    """Run a reverse proxy in front of a storage server; its attribute ``refused`` selects requests that fail."""
    attributes = {
        "upstream": url.removeprefix("http://"),
        "refused": ("none", "none"),
        "created": set(),
        "lock": threading.RLock(),
        "reached": threading.Event(),
        "released": threading.Event(),
    }
    handler = type("Gateway", (kind,), attributes)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    yield handler
    handler.released.set()
    server.shutdown()
    server.server_close()
