# SPDX-License-Identifier: Apache-2.0
"""Send files and pages, with headers under which a browser runs nothing that a file may contain.

Only the api-server imports this module: it imports Starlette.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from airflow_provider_evolink.media.byte_ranges import UnsatisfiableRangeError, parse_range
from airflow_provider_evolink.ui.stored_files import StoredFile

_PART_BYTES = 2**20  # of a read: each is a request to the storage
_PIECE_BYTES = 2**16
_FILE_POLICY = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
COMMON_HEADERS = {
    # Who may see it can change at any time, so a browser asks again; what it has is confirmed by the ETag.
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_PAGE_HEADERS = {**COMMON_HEADERS, "Content-Security-Policy": _PAGE_POLICY}
# Airflow would compress what has no encoding, and media with it, which takes its length and its ranges.
_FILE_HEADERS = {
    **COMMON_HEADERS,
    "Accept-Ranges": "bytes",
    "Content-Security-Policy": _FILE_POLICY,
    "Content-Encoding": "identity",
}

InThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Content:
    """A file to send.

    :param etag: with its quotes.
    :param name: for those who save it.
    """

    file: StoredFile
    media_type: str
    etag: str
    name: str


class _LocalFileResponse(FileResponse):
    """Send a file of this machine, which stays open meanwhile, so that it is the one that was looked up.

    :param part: the positions to send; ``None`` for all.
    """

    def __init__(self, content: Content, headers: Mapping[str, str], part: range | None) -> None:
        self.opened, self.part = content.file.opened, part
        path = (self.opened and self.opened.path) or content.file.path
        super().__init__(path, headers=headers, media_type=content.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette gets a part that it can't refuse: 0.48, which Airflow 3.1 brings, answers some headers wrongly.
        kept = [(name, value) for name, value in scope["headers"] if name not in (b"range", b"if-range")]
        asked = [] if self.part is None else [(b"range", b"bytes=%d-%d" % (self.part.start, self.part.stop - 1))]
        await super().__call__({**scope, "headers": [*kept, *asked]}, receive, send)


def page_response(path: Path, media_type: str) -> Response:
    """Send a page, a script or a style of this package."""
    return FileResponse(path, headers=_PAGE_HEADERS, media_type=media_type)


async def content_response(request: Request, content: Content, in_thread: InThread) -> Response:
    """Send a file or the part of it that was asked for, without a thread while the reader is slow.

    :param in_thread: runs a blocking function.
    :raises StorageError: the storage can't be read; nothing was sent.
    """
    headers = {**_FILE_HEADERS, "ETag": content.etag, "Content-Disposition": _disposition(content.name)}
    if _is_known(request.headers.get("if-none-match"), content.etag):
        return Response(status_code=304, headers=headers)
    size = content.file.size
    try:
        part = parse_range(_range_header(request, content.etag), size)
    except UnsatisfiableRangeError:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    if content.file.opened is not None:
        return _LocalFileResponse(content, headers, part)
    return await _remote_response(request, content, headers, part, in_thread)


async def _remote_response(
    request: Request, content: Content, headers: dict[str, str], part: range | None, in_thread: InThread
) -> Response:
    size = content.file.size
    status_code = 200 if part is None else 206
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    wanted = range(size) if part is None else part
    headers["Content-Length"] = str(len(wanted))
    if request.method == "HEAD" or not wanted:
        return Response(status_code=status_code, headers=headers, media_type=content.media_type)
    parts = [wanted[start : start + _PART_BYTES] for start in range(0, len(wanted), _PART_BYTES)]
    first = await in_thread(content.file.read, parts[0].start, parts[0].stop)
    stream = _pieces(content.file, first, parts[1:], in_thread)
    return StreamingResponse(stream, status_code=status_code, headers=headers, media_type=content.media_type)


async def _pieces(file: StoredFile, part: bytes, others: Sequence[range], in_thread: InThread) -> AsyncIterator[bytes]:
    """Yield a part that was read, and the others, in pieces that the buffers on the way to a slow reader can hold."""
    for following in (*others, None):
        for start in range(0, len(part), _PIECE_BYTES):
            yield part[start : start + _PIECE_BYTES]
        if following is not None:
            part = await in_thread(file.read, following.start, following.stop)


def _disposition(name: str) -> str:
    return f"inline; filename*=utf-8''{quote(name, safe='')}"


def _range_header(request: Request, etag: str) -> str | None:
    if request.headers.get("if-range", etag) != etag:
        return None
    return request.headers.get("range")


def _is_known(if_none_match: str | None, etag: str) -> bool:
    tags = [] if if_none_match is None else [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
