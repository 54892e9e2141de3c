# SPDX-License-Identifier: Apache-2.0
"""An HTTP client of an emulator that runs at real speed, so that a test decides when time passes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.server import EmulatorHandle

MAX_GENERATION_SECONDS = 3000


class Api:
    """The requests of a client, one method each."""

    def __init__(self, emulator: EmulatorHandle, http: httpx.Client) -> None:
        self.control: ControlClient = emulator.control
        self.http = http
        http.base_url = httpx.URL(emulator.url)
        http.headers["Authorization"] = f"Bearer {emulator.api_key}"

    def post(self, kind: str = "video", key: str | None = None, **body: Any) -> httpx.Response:
        """Submit a generation."""
        payload = {"model": "gemini-omni-flash-text-to-video", "prompt": "a lighthouse at dusk", **body}
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(f"/v1/{kind}s/generations", json=payload, headers=headers)

    def submit(self, kind: str = "video", key: str | None = None, **body: Any) -> str:
        """Submit a generation, check that it is accepted, and return its id."""
        response = self.post(kind, key, **body)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def read(self, generation_id: str) -> dict[str, Any]:
        """Return the response to a query for a generation."""
        body: dict[str, Any] = self.http.get(f"/v1/tasks/{generation_id}").json()
        return body

    def finish(self) -> None:
        """Advance the clock until every generation has ended."""
        self.control.advance(MAX_GENERATION_SECONDS)

    def link(self, kind: str = "video", **body: Any) -> str:
        """Submit a generation, finish it, and return its first link."""
        generation_id = self.submit(kind, **body)
        self.finish()
        return str(self.read(generation_id)["results"][0])


@pytest.fixture(scope="session")
def http_client() -> Iterator[httpx.Client]:
    """One client for all tests, since creating it takes longer than most tests."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def api(evolink_emulator: EmulatorHandle, http_client: httpx.Client) -> Api:
    """A client of a fresh emulator at real speed."""
    evolink_emulator.control.set_speed(1)
    return Api(evolink_emulator, http_client)


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG of 320x180, left half red and right half blue."""
    width, height = 320, 180
    row = b"\xc8\x1e\x1e" * (width // 2) + b"\x1e\x1e\xc8" * (width // 2)
    return _png(row * height, width, height)


def _png(pixels: bytes, width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[at : at + 3 * width] for at in range(0, len(pixels), 3 * width))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
