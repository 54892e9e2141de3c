# SPDX-License-Identifier: Apache-2.0
"""Arbitrary request bodies get a documented error at worst, and never cause a crash."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from starlette.testclient import TestClient

from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY, Settings
from testkit.examples import GENERATION_ID
from tests import hostile

PICTURE = (Path(__file__).parents[1] / "data" / "frame.png").read_bytes()
VIDEO = {"model": "gemini-omni-flash-text-to-video", "prompt": "A lighthouse", "duration": 3, "callback_url": None}
UPLOAD = {"base64_data": base64.b64encode(PICTURE).decode(), "upload_path": "photos", "file_name": "a.png"}
PAYLOADS: dict[str, Any] = {
    "/v1/videos/generations": VIDEO,
    "/v1/tasks/batch": {"task_ids": [GENERATION_ID]},
    "/api/v1/files/upload/base64": UPLOAD,
}


@pytest.fixture(scope="module")
def client() -> TestClient:
    """A client in the emulator's process, where a crash raises in the test."""
    headers = {"Authorization": f"Bearer {DEFAULT_API_KEY}"}
    return TestClient(Emulator(Settings(credits=1e12)).application(), headers=headers)


@pytest.mark.parametrize("path", PAYLOADS)
def test_any_body_gets_a_response(client: TestClient, path: str) -> None:
    """Any body is accepted or rejected, with a response that is valid JSON in UTF-8."""

    @given(hostile.bodies(PAYLOADS[path]))
    def check(body: bytes) -> None:
        response = client.post(path, content=body)
        assert response.status_code in {200, 400}
        json.dumps(response.json(), ensure_ascii=False).encode()

    check()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("a b/ü", "c?d#e%2F.png"), ("../..", "a.png"), ("/{}/./", ".."), ("", "a/b.png"), ("x", "\0\n")],
)
def test_an_upload_is_served_at_its_link(api, folder: str, name: str) -> None:
    """Whatever folder and file name a client picks, the link is a URI that serves the file and can be submitted."""
    payload = {**UPLOAD, "upload_path": folder, "file_name": name}
    link = api.http.post("/api/v1/files/upload/base64", json=payload).json()["data"]["file_url"]
    assert link.isascii()
    assert link.isprintable()
    assert api.http.get(link).content == PICTURE
    api.submit(model="gemini-omni-flash-image-to-video", image_urls=[link])


@pytest.mark.parametrize(
    "send",
    [
        lambda http: http.post(
            "/api/v1/files/upload/stream", content=b"--", headers={"Content-Type": "multipart/form-data"}
        ),
        lambda http: http.post(
            "/api/v1/files/upload/stream",
            content=b"--abcX\r\n",
            headers={"Content-Type": "multipart/form-data; boundary=abc"},
        ),
        lambda http: http.post("/api/v1/files/upload/base64", json={**UPLOAD, "upload_path": None}),
        lambda http: http.post("/v1/tasks/batch", content=b'{"task_ids": ["\\ud800"]}'),
        lambda http: http.post("/v1/tasks/batch", content=b"[" * 100_000),
    ],
)
def test_malformed_bodies_are_rejected_as_json(api, send: Callable[[Any], Any]) -> None:
    """A broken form, a field of the wrong type, a lone surrogate and excessive nesting get a 400 in JSON."""
    response = send(api.http)
    assert response.status_code == 400
    assert response.json()


def test_invalid_pages_are_the_first_page(api) -> None:
    """A page number that is not a reasonable positive integer means the first page."""
    for page in ("9" * 5000, "0", "-1", "²", "x"):
        assert api.http.get("/v1/tasks", params={"page": page}).json()["page"] == 1
