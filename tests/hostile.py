# SPDX-License-Identifier: Apache-2.0
"""Hostile responses as strategies for property-based tests: any JSON, corrupted real responses, any HTTP.

Whatever arrives, a parser returns a value or raises the one error that it documents.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import strategies as st

from testkit.examples import GENERATION_ID
from tests.loopback import ReceivedRequest, Responder, Write

CREATED: dict[str, Any] = {
    "created": 1757169743,
    "id": GENERATION_ID,
    "model": "gemini-omni-flash-image-to-video",
    "object": "video.generation.task",
    "progress": 0,
    "status": "pending",
    "task_info": {"can_cancel": False, "estimated_time": 60},
    "type": "video",
    "usage": {"billing_rule": "per_token", "credits_reserved": 102.34, "user_group": "default"},
}
COMPLETED: dict[str, Any] = {
    **CREATED,
    "status": "completed",
    "progress": 100,
    "results": ["https://files.example.com/a.mp4"],
    "result_data": {"songs": [{"result_id": "r-1", "audio_url": "https://files.example.com/s.mp3", "duration": 3.5}]},
    "usage": {"credits_used": 102.34},
}
FAILED: dict[str, Any] = {
    **CREATED,
    "status": "failed",
    "error": {"code": "content_policy_violation", "message": "Blocked.\nBy filters.", "type": "task_error"},
    "billing": {"charge_status": "charged", "refund_status": "not_required", "charged_credits": 3},
}
BATCH: dict[str, Any] = {"data": [CREATED, COMPLETED, FAILED]}
CREDITS: dict[str, Any] = {
    "data": {
        "token": {"remaining_credits": 99416.4429, "unlimited_credits": False, "used_credits": 583.5571},
        "user": {"remaining_credits": 1095.3996, "used_credits": 135.9048},
    },
    "message": "",
    "success": True,
}
UPLOAD: dict[str, Any] = {
    "success": True,
    "code": 200,
    "msg": "ok",
    "data": {"file_url": "https://f.example.com/a.png"},
}
REJECTION: dict[str, Any] = {
    "error": {
        "code": "invalid_request",
        "message": "Invalid request (request id: 2026x7)",
        "type": "invalid_request_error",
        "param": "image_urls",
    }
}
FILES_REJECTION: dict[str, Any] = {"success": False, "code": 40003, "msg": "File quota exhausted"}
RESPONSES = (CREATED, COMPLETED, FAILED, BATCH, CREDITS, UPLOAD, REJECTION, FILES_REJECTION)

_WORDS = st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\u2028",
        "\x1b[31m",
        "pending",
        "completed",
        "failed",
        "true",
        "NaN",
        "1e999",
        "http://",
        "https://[",
    ]
)
# Half a surrogate pair is legal in JSON.
texts = st.text(st.characters(), max_size=20) | _WORDS | st.text(st.sampled_from("\ud800\udfff\0\r\na1"), max_size=5)
numbers = st.integers() | st.floats() | st.sampled_from([10**300, -(10**400), 2**63, 1e308, 1e-308, -0.0, 1e11, 1e15])
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def corrupted(draw: st.DrawFn, *real: Any) -> Any:
    """Real responses in which up to three fields, at any depth, hold anything or are missing."""
    value = draw(st.sampled_from(real or RESPONSES))
    for _ in range(draw(st.integers(0, 3))):
        value = _changed(draw, value, may_replace=False)
    return value


def _changed(draw: st.DrawFn, value: Any, *, may_replace: bool = True) -> Any:
    is_here = may_replace and draw(st.sampled_from([False, False, False, True]))
    if is_here or not value or not isinstance(value, dict | list):
        return draw(anything)
    places = range(len(value)) if isinstance(value, list) else list(value)
    place = draw(st.sampled_from(places))
    changed = value.copy()
    if draw(st.sampled_from([False, False, False, True])):
        del changed[place]
    else:
        changed[place] = _changed(draw, value[place])
    return changed


def encoded(value: Any) -> bytes:
    """Encode JSON as a server would, half surrogate pairs and NaN included."""
    return json.dumps(value).encode()


pages = st.sampled_from(
    [
        b"<!DOCTYPE html><title>Just a moment...</title>",
        b"404 page not found\n",
        b"\xff\xfe<\0h\0t\0m\0l\0>\0",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"[" * 5000,
        b'{"error":' * 2000,
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": 1e999999}',
        b"{'id': 1}",
    ]
)


def bodies(*real: Any) -> st.SearchStrategy[bytes]:
    """Response bodies: mostly corrupted real ones, but also any JSON, HTML pages and any bytes."""
    mostly = corrupted(*real).map(encoded)
    return (
        mostly | mostly | anything.map(encoded) | mostly.map(lambda body: body[:-3]) | pages | st.binary(max_size=200)
    )


statuses = st.sampled_from([*range(200, 209), *range(300, 309), *range(400, 452), *range(500, 512), 599, 600, 999])

_latin = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=30)
_header_values = {
    "Content-Type": ["application/json", "text/html; charset=utf-16", "application/json; charset=\xff", "video/mp4"],
    "Content-Encoding": ["gzip", "deflate", "br", "gzip, gzip", "identity"],
    "Retry-After": ["7", "-1", "nan", "1e999", "Mon, 23 Nov 2026 12:00:30 GMT", "Mon, 99 Foo 99999 25:61:61 +9999"],
    "Location": ["https://xn--a/", "https://[::1", "http://127.0.0.1:1/", "//", "\xff", "https://a.example:99999/"],
    "X-Request-Id": ["req-1", "r" * 2000],
    "X-Oneapi-Request-Id": ["req-2"],
    "Idempotency-Replayed": ["true", " TRUE ", "\xa0true"],
    "Set-Cookie": ["a=b", 'a="; domain=.; expires=\xff; port=",', "=; max-age=-9e9"],
    "ETag": ['"v1"', 'W/"v1"', '"\x01"', '"'],
    "Last-Modified": ["Mon, 23 Nov 2026 12:00:30 GMT", "never"],
    "Content-Range": ["bytes 0-9/10", "bytes 10-9/*", "bytes */10", "bytes 0-999999999999999999/999999999999999999"],
}


@st.composite
def headers(draw: st.DrawFn) -> dict[str, str]:
    """Up to five headers that some code reads, with values observed in practice or any others."""
    names = draw(st.lists(st.sampled_from(sorted(_header_values)), max_size=5, unique=True))
    return {name: draw(st.sampled_from(_header_values[name]) | _latin) for name in names}


_status_lines = statuses.map(lambda status: f"HTTP/1.1 {status} X") | st.sampled_from(
    [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 X",
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.0 200",
        "HTTP/0.9 200 OK",
        "HTTP/2 200 OK",
        "HTTP/1.1 099 X",
        "HTTP/1.1 2000 X",
        "HTTP/1.1 abc X",
        "ICY 200 OK",
        "",
    ]
)


@st.composite
def raw_responses(draw: st.DrawFn, body_strategy: st.SearchStrategy[bytes]) -> bytes:
    """HTTP responses, byte by byte: any status, headers and framing around a body."""
    body = draw(body_strategy)
    framing = draw(st.sampled_from(["right", "right", "right", "chunked", "none", "more", "less", "negative", "both"]))
    lengths = {"right": len(body), "more": len(body) + 7, "less": max(len(body) - 3, 0), "negative": -5, "both": 3}
    lines = [draw(_status_lines), *(f"{name}: {value}" for name, value in draw(headers()).items())]
    if framing in lengths:
        lines.append(f"Content-Length: {lengths[framing]}")
    if framing in {"chunked", "both"}:
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.sampled_from([f"{len(body):x}", f"{len(body) + 5:x}", "-5", "zz", "ffffffffffffffffff", ""]))
        body = f"{size}\r\n".encode() + body + draw(st.sampled_from([b"\r\n0\r\n\r\n", b"\r\n0\r\nX: y\r\n", b""]))
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _endless(name: str, begin: bytes, more: bytes, pause: float = 0.0) -> Responder:
    """Return a response that never ends: a chunk of ``more`` every ``pause`` seconds."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(begin)
        while True:
            await write(more)
            await asyncio.sleep(pause)

    respond.__name__ = name
    return respond


_OK = b"HTTP/1.1 200 OK\r\n"
_JSON = _OK + b"Content-Type: application/json\r\n\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
endless_body = _endless("endless_body", _JSON, b" " * 65536)
ten_gigabytes = _endless("ten_gigabytes", _OK + b"Content-Length: 10737418240\r\n\r\n", b"[" * 65536)
endless_chunk = _endless("endless_chunk", _CHUNKED + b"3fffffffffffffff\r\n", b" " * 65536)
# At a pace: aiohttp before 3.14 has no limit for the number of headers, and collects them until the time is up.
endless_headers = _endless("endless_headers", _OK, b"X-More: " + b"x" * 1000 + b"\r\n", 0.001)
endless_line = _endless("endless_line", b"HTTP/1.1 200 ", b"O" * 65536)
endless_continue = _endless("endless_continue", b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001)
endless_trailers = _endless("endless_trailers", _CHUNKED + b"0\r\n", b"X-More: x\r\n", 0.001)
# Slow in total, though no single read waits long.
dripping_body = _endless("dripping_body", _JSON, b" ", 0.1)
dripping_headers = _endless("dripping_headers", _OK + b"X-More: ", b"x", 0.05)


async def no_response(request: ReceivedRequest, write: Write) -> None:
    """Close the connection without a response."""


async def truncated_body(request: ReceivedRequest, write: Write) -> None:
    """Close the connection in the middle of the body."""
    await write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"{")


async def truncated_headers(request: ReceivedRequest, write: Write) -> None:
    """Close the connection in the middle of the headers."""
    await write(b"HTTP/1.1 200 OK\r\nContent-Le")


async def garbage(request: ReceivedRequest, write: Write) -> None:
    """Speak another protocol."""
    await write(b"\x00\xff\x15\x03\x01 220 smtp.example.com ESMTP\r\n\r\n")


async def two_lengths(request: ReceivedRequest, write: Write) -> None:
    """Send two contradicting lengths."""
    await write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")


async def silence(request: ReceivedRequest, write: Write) -> None:
    """Never respond."""
    await asyncio.sleep(60)


TOO_MUCH = (endless_body, ten_gigabytes, endless_chunk)
BROKEN = (endless_headers, endless_line, no_response, truncated_body, truncated_headers, garbage, two_lengths)
SLOW = (dripping_body, dripping_headers, silence, endless_continue, endless_trailers)
