# SPDX-License-Identifier: Apache-2.0
"""The files API: uploads of every kind, their list, deletion, quota and end."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

FILES = "/api/v1/files"
OUT_OF_TIME = 72 * 3600


def upload(api, data: bytes, name: str = "a.png", **fields: str) -> dict[str, Any]:
    """Upload a file as a form, and return its description."""
    response = api.http.post(f"{FILES}/upload/stream", files={"file": (name, data)}, data=fields)
    assert response.status_code == 200, response.text
    stored: dict[str, Any] = response.json()["data"]
    return stored


def upload_link(api, link: str, **fields: str) -> httpx.Response:
    """Upload the file behind a link."""
    response: httpx.Response = api.http.post(f"{FILES}/upload/url", json={"file_url": link, **fields})
    return response


@pytest.fixture
def anonymous() -> Iterator[httpx.Client]:
    """A client without an API key."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def server(picture: bytes) -> Iterator[str]:
    """Another HTTP server on this machine, with one picture."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/a.png") else 500)
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_upload_has_an_id_and_a_link_of_its_own(api, anonymous, picture):
    """The same files uploaded again and again get other ids and links each time, and all stay available."""
    stored = [upload(api, data) for data in (picture, b"GIF89a" + bytes(20)) * 2]
    assert len({file["file_id"] for file in stored}) == len({file["file_url"] for file in stored}) == 4
    assert {anonymous.get(file[link]).status_code for file in stored for link in ("file_url", "download_url")} == {200}


def test_a_file_of_the_same_name_replaces_the_older_one(api, anonymous, picture):
    """A file stored under a path that is taken replaces the older file, whose id is gone."""
    old = upload(api, b"GIF89a" + bytes(20), upload_path="photos", file_name="a.png")
    new = upload(api, picture, uploadPath="photos", fileName="a.png")
    assert old["file_url"] == new["file_url"]
    assert anonymous.get(new["file_url"]).content == picture
    assert anonymous.get(old["download_url"]).status_code == 404
    assert api.http.get(f"{FILES}/quota").json()["data"]["used_files"] == 1


@pytest.mark.parametrize(
    ("kind", "parameters", "content_type"),
    [
        ("video", {"duration": 3}, "video/mp4"),
        ("audio", {"model": "doubao-seed-audio-1-0", "format": "wav"}, "audio/wav"),
        ("audio", {"model": "suno-v5-beta"}, "audio/mpeg"),
        ("image", {"model": "gpt-image-2"}, "image/png"),
    ],
)
def test_kinds_are_detected_by_content(api, anonymous, kind, parameters, content_type):
    """Images, videos and sounds are accepted in every way, whatever their name, and served with their own type."""
    link = api.link(kind, **parameters)
    data = anonymous.get(link).content
    encoded = api.http.post(f"{FILES}/upload/base64", json={"base64_data": base64.b64encode(data).decode()}).json()
    for stored in (upload(api, data, "unnamed"), encoded["data"], upload_link(api, link).json()["data"]):
        assert (stored["mime_type"], stored["upload_path"]) == (content_type, f"{kind}s")
        response = anonymous.get(stored["file_url"])
        assert (response.content, response.headers["content-type"]) == (data, content_type)


def test_links_to_this_machine_are_downloaded(api, server, picture):
    """A link to another server of this machine is downloaded; its file name becomes the original name."""
    stored = upload_link(api, f"{server}/a.png?size=1").json()["data"]
    assert (stored["file_size"], stored["original_name"]) == (len(picture), "a.png")


@pytest.mark.parametrize(
    ("link", "content_type"),
    [
        ("https://example.com/a", "image/png"),
        ("https://example.com/a.mp4?x=1", "video/mp4"),
        ("https://example.com/a.mp3", "audio/mpeg"),
    ],
)
def test_links_to_other_machines_give_a_made_up_file(api, link, content_type):
    """A link to another machine is not followed: it gives a real file of the kind that its name has."""
    assert upload_link(api, link, file_name="b").json()["data"]["mime_type"] == content_type


def test_dead_links_are_rejected(api, server):
    """A link that cannot be downloaded gets code 40004, in the form of the files API."""
    dead = [f"{server}/b.png", f"{api.http.base_url}/media/none.png", "ftp://example.com/a.png", "http://[", "x"]
    for link in dead:
        response = upload_link(api, link)
        assert (response.status_code, response.json()["success"], response.json()["code"]) == (400, False, 40004)


def test_the_list_has_pages_and_is_newest_first(api, picture):
    """The list is newest first, has the fields that EvoLink's clients read, the total, and pages of up to 100."""
    ids = [upload(api, picture)["file_id"] for _ in range(3)]
    first = api.http.get(f"{FILES}/list", params={"page": 1, "pageSize": 2}).json()["data"]
    second = api.http.get(f"{FILES}/list", params={"page": 2, "pageSize": 2}).json()["data"]
    assert [file["file_id"] for file in first["files"] + second["files"]] == ids[::-1]
    assert first["total"] == 3
    assert set(first["files"][0]) == {"file_id", "file_name", "file_size", "upload_time"}


def test_deleted_files_are_gone(api, anonymous, picture):
    """A deleted file has no link, no entry in the list and no place in the quota; deleting it again gets 404."""
    kept, deleted = upload(api, picture), upload(api, picture)
    assert api.http.delete(f"{FILES}/{deleted['file_id']}").json()["success"] is True
    assert anonymous.get(deleted["file_url"]).status_code == 404
    assert [file["file_id"] for file in api.http.get(f"{FILES}/list").json()["data"]["files"]] == [kept["file_id"]]
    again = api.http.delete(f"{FILES}/{deleted['file_id']}")
    assert (again.status_code, again.json()["success"], again.json()["code"]) == (404, False, 404)


def test_files_expire_after_72_hours(api, anonymous, picture):
    """72 hours after its upload, a file is gone: no link, no entry, no place in the quota, no model can fetch it."""
    stored = upload(api, picture)
    api.control.advance(OUT_OF_TIME - 60)
    assert anonymous.get(stored["file_url"]).status_code == 200
    api.control.advance(60)
    assert anonymous.get(stored["file_url"]).status_code == anonymous.get(stored["download_url"]).status_code == 404
    assert api.http.get(f"{FILES}/list").json()["data"] == {"total": 0, "files": []}
    assert api.http.get(f"{FILES}/quota").json()["data"]["used_files"] == 0
    failing = api.submit(model="gemini-omni-flash-image-to-video", image_urls=[stored["file_url"]])
    api.finish()
    assert api.read(failing)["error"]["code"] == "image_processing_error"


def test_the_lifetime_of_files_can_be_changed(api, anonymous, picture):
    """The control client shortens the lifetime, which responses report, and restores the documented one."""
    api.control.set_upload_ttl(60)
    stored = upload(api, picture)
    uploaded, expires = (datetime.fromisoformat(stored[name]) for name in ("upload_time", "expires_at"))
    assert expires - uploaded == timedelta(seconds=60)
    api.control.set_upload_ttl(0)
    assert anonymous.get(stored["file_url"]).status_code == 404
    api.control.set_upload_ttl(None)
    assert anonymous.get(stored["file_url"]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "upload/stream"), ("POST", "upload/url"), ("GET", "list"), ("DELETE", "file_1"), ("GET", "quota")],
)
def test_errors_have_the_form_of_the_files_api(api, anonymous, method, path):
    """Without an API key, after a fault, for an unknown path or a wrong method: {success, code, msg}."""
    link = f"{api.http.base_url}{FILES}/{path}".replace("//api", "/api")
    api.control.inject("http_error", status=403, message="Denied")
    responses = [
        api.http.request(method, link),
        anonymous.request(method, link),
        api.http.request("PATCH", link),
        api.http.get(f"{FILES}/none/none"),
    ]
    assert [response.status_code for response in responses] == [403, 401, 405, 404]
    for response in responses:
        body = response.json()
        assert (set(body), body["success"], body["code"]) == ({"success", "code", "msg"}, False, response.status_code)


def test_wrong_methods_get_json_elsewhere(api):
    """A method that a path does not have gets 405 in the usual form, with the methods it has."""
    response = api.http.put("/v1/credits")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in response.headers["allow"]
