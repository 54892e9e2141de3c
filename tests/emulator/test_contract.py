# SPDX-License-Identifier: Apache-2.0
"""The emulator's answers against EvoLink's own OpenAPI documents."""

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
    """Load a document."""
    loaded: dict[str, Any] = yaml.safe_load((DOCUMENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def responses(name: str) -> dict[str, Any]:
    """Return what a document says about its only operation's answers."""
    (path,) = document(name)["paths"].values()
    (operation,) = path.values()
    found: dict[str, Any] = operation["responses"]
    return found


def check(answer: Any, name: str, status: str = "200") -> None:
    """Hold an answer against a document."""
    schema = responses(name)[status]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document(name)["components"]})


def documented_errors() -> Iterator[Any]:
    """List all error examples."""
    for name, endpoint in ENDPOINTS.items():
        for status, response in responses(name).items():
            if status != "200":
                example = response["content"]["application/json"]["example"]
                yield pytest.param(endpoint, int(status), name, example, id=f"{endpoint}-{status}")


def ask(api, endpoint: str) -> httpx.Response:
    """Send a request that is fine."""
    if endpoint == "submit":
        return api.post()
    return api.http.get("/v1/credits" if endpoint == "credits" else "/v1/tasks/task-unified-1-abcdefgh")


@pytest.mark.parametrize("name", CREATED)
def test_submission_is_answered_as_documented(api, name):
    """The answer to a submission fits the model's document, and has every documented field."""
    kind, body = CREATED[name]
    answer = api.post(kind, **body).json()
    check(answer, name)
    reference = responses(name)["200"]["content"]["application/json"]["schema"]["$ref"]
    assert document(name)["components"]["schemas"][reference.rpartition("/")[2]]["properties"].keys() == answer.keys()


@pytest.mark.parametrize("name", CREATED)
def test_every_state_is_answered_as_documented(api, name):
    """A generation's states from pending to completed fit the document of the query."""
    kind, body = CREATED[name]
    generation_id = api.submit(kind, **body)
    seen = []
    for _ in range(40):
        answer = api.read(generation_id)
        check(answer, "get-task-detail")
        seen.append(answer["status"])
        api.control.advance(4)
    assert list(dict.fromkeys(seen)) == ["pending", "processing", "completed"]


def test_failure_is_answered_as_documented(api):
    """A failed generation fits the document, with an error of type task_error."""
    api.control.inject("moderation")
    generation_id = api.submit()
    api.finish()
    answer = api.read(generation_id)
    check(answer, "get-task-detail")
    assert answer["status"] == "failed"
    assert answer["error"]["code"] == "content_policy_violation"
    assert answer["error"]["type"] == "task_error"


def test_documented_example_is_worth_102_34_credits(api):
    """The document's example request reserves the document's example of credits and time."""
    (path,) = document(VIDEO)["paths"].values()
    example = path["post"]["requestBody"]["content"]["application/json"]["examples"]["image_to_video"]["value"]
    answer = api.http.post("/v1/videos/generations", json=example).json()
    assert answer["usage"] == {"billing_rule": "per_token", "credits_reserved": 102.34, "user_group": "default"}
    assert answer["task_info"]["estimated_time"] == 60


def test_finished_generation_tells_what_was_used_and_nothing_reserved(api):
    """The final answer has `credits_used`, and no `credits_reserved` any more, as seen in real answers."""
    generation_id = api.submit()
    api.finish()
    assert api.read(generation_id)["usage"].keys() == {"credits_used"}


def test_credits_are_answered_as_documented(api):
    """The account's credits fit their document."""
    check(api.http.get("/v1/credits").json(), "get-credits")


@pytest.mark.parametrize(("endpoint", "status", "name", "example"), list(documented_errors()))
def test_documented_refusals_can_be_had(api, endpoint, status, name, example):
    """Each documented refusal can be switched on, with the documented body."""
    api.control.inject("refused", endpoint, status=status)
    response = ask(api, endpoint)
    assert response.status_code == status
    check(response.json(), name, str(status))
    expected = dict(example["error"])
    if endpoint == "submit" and status == 403:
        expected["message"] = "Token does not have access to model"  # it cannot know which
    assert response.json() == {"error": expected}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values())
@pytest.mark.parametrize("header", [None, "Bearer sk-wrong", "Basic c2s6", "sk-emulator-0123456789abcdef"])
def test_wrong_key_is_refused_as_documented(api, endpoint, header):
    """Without the right key, the documented 401 comes."""
    api.http.headers.pop("Authorization")
    if header:
        api.http.headers["Authorization"] = header
    response = ask(api, endpoint)
    name = next(name for name, known in ENDPOINTS.items() if known == endpoint)
    assert response.status_code == 401
    assert response.json() == responses(name)["401"]["content"]["application/json"]["example"]


def test_query_of_unknown_generations_is_refused_as_documented(api):
    """An unknown id gives 404, one of another form 400, in the documented words."""
    for generation_id, status in (("task-unified-1-abcdefgh", "404"), ("12345", "400")):
        response = api.http.get(f"/v1/tasks/{generation_id}")
        example = responses("get-task-detail")[status]["content"]["application/json"]["example"]
        assert (response.status_code, response.json()) == (int(status), example)


def test_every_answer_has_a_request_id(api):
    """Every answer, refusals and unknown paths too, has its own x-request-id."""
    paths = ["/v1/credits", "/v1/tasks/1", "/v1/nothing", "/media/nothing", "/v1/tasks"]
    ids = {api.http.get(path).headers["x-request-id"] for path in paths}
    assert len(ids) == len(paths)


def test_uploads_are_answered_as_documented(api, picture):
    """Both ways to upload fit their documents, and the quota counts."""
    encoded = base64.b64encode(picture).decode()
    sent = {"base64_data": f"data:image/png;base64,{encoded}", "upload_path": "photos", "file_name": "a.png"}
    answer = api.http.post("/api/v1/files/upload/base64", json=sent).json()
    check(answer, "files-upload-base64")
    assert answer["data"]["file_url"].endswith("/photos/a.png")
    answer = api.http.post("/api/v1/files/upload/stream", files={"file": ("b.png", picture, "image/png")}).json()
    check(answer, "files-upload-stream")
    assert (
        answer["data"].keys()
        == document("files-upload-stream")["components"]["schemas"]["FileData"]["properties"].keys()
    )
    quota = api.http.get("/api/v1/files/quota").json()
    check(quota, "files-quota")
    assert (quota["data"]["used_files"], quota["data"]["remain_files"]) == (2, 1998)
