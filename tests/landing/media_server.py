# SPDX-License-Identifier: Apache-2.0
"""A media host on loopback that can misbehave as real ones do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNK = 64 * 1024


def mp4(size: int = 50_000, seed: str = "a") -> bytes:
    """Return bytes that begin like an MP4 and differ by seed."""
    head = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
    block = hashlib.sha512(seed.encode()).digest()
    return head + (block * (size // len(block) + 1))[: size - len(head)]


@dataclass
class Media:
    """A file and how it is served.

    :param faults: faults of the next requests, one each; see :class:`_Handler`.
    """

    body: bytes = field(default_factory=mp4)
    content_type: str | None = "video/mp4"
    etag: str | None = '"v1"'
    headers: dict[str, str] = field(default_factory=dict)
    takes_range: bool = True
    framing: str = "length"
    faults: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class ReceivedRequest:
    """A request as it was received, and the status of its response."""

    path: str
    headers: dict[str, str]
    status: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class MediaServer:
    """Serve ``media`` by path; ``requests`` lists what it received."""

    def __init__(self) -> None:
        self.media: dict[str, Media] = {}
        self.requests: list[ReceivedRequest] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.media_server = self  # type: ignore[attr-defined]
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, path: str, **options: Any) -> str:
        """Add a file and return its link."""
        self.media[path] = Media(**options)
        return self.url + path

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Serve a file, with the next fault of its list.

    Faults: ``status``, ``headers`` and ``body`` are the response; ``cut`` closes the connection after that many bytes;
    ``announce`` is a wrong length; ``range`` a wrong range; ``endless`` never stops sending; ``pause`` waits that many
    seconds before each chunk of ``chunk`` bytes; ``silence`` waits before responding; ``raw`` is sent as it is.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        media_server: MediaServer = self.server.media_server  # type: ignore[attr-defined]
        request = ReceivedRequest(self.path, {name.lower(): value for name, value in self.headers.items()})
        media_server.requests.append(request)
        media = media_server.media.get(self.path)
        fault = media.faults.pop(0) if media and media.faults else {}
        self.close_connection = True
        try:
            if "raw" in fault:
                self.wfile.write(fault["raw"])
            elif media is None or "status" in fault:
                request.status = fault.get("status", 404)
                self._respond(request.status, fault.get("headers", {}), fault.get("body", b"nothing here"))
            else:
                time.sleep(fault.get("silence", 0))
                self._serve(media, fault, request)
        except OSError:
            pass

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._begin(status, {"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def _begin(self, status: int, headers: Mapping[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _serve(self, media: Media, fault: dict[str, Any], request: ReceivedRequest) -> None:
        start, size = 0, len(media.body)
        condition = self.headers.get("If-Range")
        if media.takes_range and request.range and condition in {None, media.etag}:
            start = int(request.range.removeprefix("bytes=").removesuffix("-"))
        request.status = 206 if start else 200
        headers = {"Content-Type": media.content_type, "ETag": media.etag, **media.headers}
        if start:
            headers["Content-Range"] = fault.get("range", f"bytes {start}-{size - 1}/{size}")
        if media.framing == "length" and "endless" not in fault:
            headers["Content-Length"] = str(fault.get("announce", size - start))
        if media.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        self._begin(request.status, headers)
        for chunk in _chunks(media.body[start:], fault):
            time.sleep(fault.get("pause", 0))
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if media.framing == "chunked" else chunk)
        if media.framing == "chunked" and "cut" not in fault:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


def _chunks(body: bytes, fault: dict[str, Any]) -> Iterator[bytes]:
    size, sent = fault.get("chunk", CHUNK), 0
    end = fault.get("cut", len(body))
    while sent < end:
        yield body[sent : min(sent + size, end)]
        sent += size
    while fault.get("endless"):
        yield bytes(CHUNK)
