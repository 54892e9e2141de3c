"""What the emulator is sent, byte by byte: a documented refusal at worst, and never a crash."""

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
from airflow_provider_evolink.emulator.settings import DEFAULT_KEY, Settings
from tests import hostile

PICTURE = (Path(__file__).parents[1] / "data" / "frame.png").read_bytes()
VIDEO = {"model": "gemini-omni-flash-text-to-video", "prompt": "A lighthouse", "duration": 3, "callback_url": None}
UPLOAD = {"base64_data": base64.b64encode(PICTURE).decode(), "upload_path": "photos", "file_name": "a.png"}
SENT: dict[str, Any] = {
    "/v1/videos/generations": VIDEO,
    "/v1/tasks/batch": {"task_ids": [hostile.ID]},
    "/api/v1/files/upload/base64": UPLOAD,
}


@pytest.fixture(scope="module")
def client() -> TestClient:
    """A client in the emulator's own process, to whom a crash is raised."""
    headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
    return TestClient(Emulator(Settings(credits=1e12)).application(), headers=headers)


@pytest.mark.parametrize("path", SENT)
def test_any_body_is_answered(client: TestClient, path: str) -> None:
    """Whatever a client sends, it is taken or refused, and what is answered can be read by anybody."""

    @given(hostile.bodies(SENT[path]))
    def check(body: bytes) -> None:
        answer = client.post(path, content=body)
        assert answer.status_code in {200, 400}
        json.dumps(answer.json(), ensure_ascii=False).encode()

    check()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("a b/ü", "c?d#e%2F.png"), ("../..", "a.png"), ("/{}/./", ".."), ("", "a/b.png"), ("x", "\0\n")],
)
def test_an_upload_lies_where_its_link_leads(api, folder: str, name: str) -> None:
    """However a client names folder and file, the link is a URI that leads to the file, and can be submitted."""
    sent = {**UPLOAD, "upload_path": folder, "file_name": name}
    link = api.http.post("/api/v1/files/upload/base64", json=sent).json()["data"]["file_url"]
    assert link.isascii()
    assert link.isprintable()
    assert api.http.get(link).content == PICTURE
    api.submit(model="gemini-omni-flash-image-to-video", image_urls=[link])


@pytest.mark.parametrize(
    "ask",
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
def test_a_body_that_is_none_is_refused_in_the_endpoints_words(api, ask: Callable[[Any], Any]) -> None:
    """A broken form, a field of another type, half a surrogate pair and depth without end are refused as JSON."""
    answer = ask(api.http)
    assert answer.status_code == 400
    assert answer.json()


def test_a_page_of_any_number_is_a_page(api) -> None:
    """A list's page may be any text: what is no number that lists have is the first."""
    for page in ("9" * 5000, "0", "-1", "²", "x"):
        assert api.http.get("/v1/tasks", params={"page": page}).json()["page"] == 1
