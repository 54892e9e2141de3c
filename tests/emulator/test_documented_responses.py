# SPDX-License-Identifier: Apache-2.0
"""The emulator's responses against EvoLink's own OpenAPI documents."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

DOCUMENTS = Path(__file__).parents[1] / "data" / "openapi"
VIDEO = "gemini-omni-flash-image-to-video.seed"
CREATED = {
    VIDEO: ("video", {"model": "gemini-omni-flash-image-to-video", "image_urls": ["https://example.com/a.jpg"]}),
    "image-gpt-image-2": ("image", {"model": "gpt-image-2"}),
    "audio-suno-music-generation": ("audio", {"model": "suno-v5-beta"}),
    "audio-doubao-seed-audio-1-0": ("audio", {"model": "doubao-seed-audio-1-0"}),
}
ENDPOINTS = {VIDEO: "submit", "get-task-detail": "read", "get-credits": "credits"}


@cache
def document(name: str) -> dict[str, Any]:
    """Load an OpenAPI document."""
    loaded: dict[str, Any] = yaml.safe_load((DOCUMENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def responses(name: str) -> dict[str, Any]:
    """Return the documented responses of a document's only operation."""
    (path,) = document(name)["paths"].values()
    (operation,) = path.values()
    documented: dict[str, Any] = operation["responses"]
    return documented


def check(body: Any, name: str, status: str = "200") -> None:
    """Validate a response body against a document."""
    schema = responses(name)[status]["content"]["application/json"]["schema"]
    jsonschema.validate(body, {**schema, "components": document(name)["components"]})


def documented_errors() -> Iterator[Any]:
    """List all documented error examples."""
    for name, endpoint in ENDPOINTS.items():
        for status, response in responses(name).items():
            if status != "200":
                example = response["content"]["application/json"]["example"]
                yield pytest.param(endpoint, int(status), name, example, id=f"{endpoint}-{status}")


def send(api, endpoint: str) -> httpx.Response:
    """Send a valid request to an endpoint."""
    if endpoint == "submit":
        return api.post()
    return api.http.get("/v1/credits" if endpoint == "credits" else "/v1/tasks/task-unified-1-abcdefgh")


@pytest.mark.parametrize("name", CREATED)
def test_submission_response_is_as_documented(api, name):
    """The response to a submission matches the model's document, and has every documented field."""
    kind, parameters = CREATED[name]
    body = api.post(kind, **parameters).json()
    check(body, name)
    reference = responses(name)["200"]["content"]["application/json"]["schema"]["$ref"]
    assert document(name)["components"]["schemas"][reference.rpartition("/")[2]]["properties"].keys() == body.keys()


@pytest.mark.parametrize("name", CREATED)
def test_every_state_is_as_documented(api, name):
    """The responses for a generation match the document in every state from pending to completed."""
    kind, parameters = CREATED[name]
    generation_id = api.submit(kind, **parameters)
    statuses = []
    for _ in range(40):
        body = api.read(generation_id)
        check(body, "get-task-detail")
        statuses.append(body["status"])
        api.control.advance(4)
    assert list(dict.fromkeys(statuses)) == ["pending", "processing", "completed"]


def test_failure_is_as_documented(api):
    """A failed generation matches the document, with an error of type task_error."""
    api.control.inject("moderation_rejected")
    generation_id = api.submit()
    api.finish()
    body = api.read(generation_id)
    check(body, "get-task-detail")
    assert body["status"] == "failed"
    assert body["error"]["code"] == "content_policy_violation"
    assert body["error"]["type"] == "task_error"


def test_documented_example_costs_102_34_credits(api):
    """The example request gets the credits and the estimate of the example response."""
    (path,) = document(VIDEO)["paths"].values()
    example = path["post"]["requestBody"]["content"]["application/json"]["examples"]["image_to_video"]["value"]
    body = api.http.post("/v1/videos/generations", json=example).json()
    assert body["usage"] == {"billing_rule": "per_token", "credits_reserved": 102.34, "user_group": "default"}
    assert body["task_info"]["estimated_time"] == 60


def test_completed_generation_has_used_and_no_reserved_credits(api):
    """A completed generation has `credits_used` and no `credits_reserved`, as observed in real responses."""
    generation_id = api.submit()
    api.finish()
    assert api.read(generation_id)["usage"].keys() == {"credits_used"}


def test_credits_are_as_documented(api):
    """The response with the account's credits matches its document."""
    check(api.http.get("/v1/credits").json(), "get-credits")


@pytest.mark.parametrize(("endpoint", "status", "name", "example"), list(documented_errors()))
def test_documented_errors_can_be_injected(api, endpoint, status, name, example):
    """Each documented error can be injected, with the documented body."""
    api.control.inject("http_error", endpoint, status=status)
    response = send(api, endpoint)
    assert response.status_code == status
    check(response.json(), name, str(status))
    expected = dict(example["error"])
    if endpoint == "submit" and status == 403:
        expected["message"] = "Token does not have access to model"  # no model: the request was not parsed
    assert response.json() == {"error": expected}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values())
@pytest.mark.parametrize("header", [None, "Bearer sk-wrong", "Basic c2s6", "sk-emulator-0123456789abcdef"])
def test_wrong_api_key_is_rejected_as_documented(api, endpoint, header):
    """Without a valid API key, the response is the documented 401."""
    api.http.headers.pop("Authorization")
    if header:
        api.http.headers["Authorization"] = header
    response = send(api, endpoint)
    name = next(name for name, known in ENDPOINTS.items() if known == endpoint)
    assert response.status_code == 401
    assert response.json() == responses(name)["401"]["content"]["application/json"]["example"]


def test_unknown_generations_are_rejected_as_documented(api):
    """An unknown id gets the documented 404, a malformed one the documented 400."""
    for generation_id, status in (("task-unified-1-abcdefgh", "404"), ("12345", "400")):
        response = api.http.get(f"/v1/tasks/{generation_id}")
        example = responses("get-task-detail")[status]["content"]["application/json"]["example"]
        assert (response.status_code, response.json()) == (int(status), example)


def test_every_response_has_a_request_id(api):
    """Every response has an x-request-id of its own, errors and unknown paths included."""
    paths = ["/v1/credits", "/v1/tasks/1", "/v1/nothing", "/media/nothing", "/v1/tasks"]
    ids = {api.http.get(path).headers["x-request-id"] for path in paths}
    assert len(ids) == len(paths)


def test_uploads_are_as_documented(api, picture):
    """Both kinds of upload match their documents, and count towards the quota."""
    encoded = base64.b64encode(picture).decode()
    payload = {"base64_data": f"data:image/png;base64,{encoded}", "upload_path": "photos", "file_name": "a.png"}
    body = api.http.post("/api/v1/files/upload/base64", json=payload).json()
    check(body, "files-upload-base64")
    assert body["data"]["file_url"].endswith("/photos/a.png")
    body = api.http.post("/api/v1/files/upload/stream", files={"file": ("b.png", picture, "image/png")}).json()
    check(body, "files-upload-stream")
    assert (
        body["data"].keys() == document("files-upload-stream")["components"]["schemas"]["FileData"]["properties"].keys()
    )
    quota = api.http.get("/api/v1/files/quota").json()
    check(quota, "files-quota")
    assert (quota["data"]["used_files"], quota["data"]["remain_files"]) == (2, 1998)
