# SPDX-License-Identifier: Apache-2.0
"""The emulator against EvoLink's saved OpenAPI pages, with generated requests, both valid and invalid ones.

schemathesis generates the requests and validates the responses: documented statuses, content types and bodies, errors
for what the page rules out, 401 without the API key, and no crashes.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY, Settings

DATA = Path(__file__).parents[1] / "data"
PAGES = sorted(path.stem for path in (DATA / "openapi").glob("*.yaml"))
PICTURE = base64.b64encode((DATA / "frame.png").read_bytes()).decode()

_ENCODED = [f"data:image/png;base64,{PICTURE}", PICTURE]
_IMAGES = {"items": {"enum": ["https://example.com/a.png", *_ENCODED]}}
# Without its limit, since long strings that match a pattern take seconds to generate.
_PROMPT = {"prompt": {"pattern": r"\S", "maxLength": None}}
_SUCCESS_ONLY = {"responses": {"400": {"description": "refused"}, "401": {"description": "no key"}}}
# What a page states in prose only, or omits; the tests treat it as if it were in the schema.
AMENDED: dict[str, dict[str, Any]] = {
    # Either kind of reference, not both.
    "audio-doubao-seed-audio-1-0": {"properties": {**_PROMPT, "image_urls": None}},
    # Without the custom mode, whose rules depend on the model.
    "audio-suno-music-generation": {
        "required": ["model", "prompt"],
        "properties": {
            "prompt": {"pattern": r"\S"},
            "custom_mode": {"enum": [False]},
            **dict.fromkeys(("duration", "persona_id", "persona_model")),
        },
    },
    # Each of its five models requires other images and videos.
    "gemini-omni-1.1-flash-overview": {
        "properties": {**_PROMPT, "model": {"enum": ["gemini-omni-1.1-flash-text-to-video"]}}
    },
    "gemini-omni-flash-image-to-video.seed": {
        "required": ["model", "prompt", "image_urls"],  # "provided via image_urls"
        "properties": {**_PROMPT, "image_urls": _IMAGES},
    },
    "gemini-omni-flash-reference-to-video": {
        "required": ["model", "prompt", "image_urls"],  # "1 to 6"
        "properties": {**_PROMPT, "image_urls": _IMAGES},
    },
    "gemini-omni-flash-text-to-video": {"properties": _PROMPT},
    "gemini-omni-flash-video-edit": {"required": ["model", "prompt", "video_urls"], "properties": _PROMPT},
    "image-gpt-image-2": {
        "properties": {
            **_PROMPT,
            "size": {"enum": ["auto", "3:2", "1024x1536"]},  # "multiples of 16", "655,360 to 8,294,400 pixels"
            "image_urls": {"minItems": 1, "maxItems": 16},  # "1~16"
        }
    },
    # The pages of the files API have success responses only; the errors are known from EvoLink's own clients.
    "files-quota": {"operation": _SUCCESS_ONLY},
    "files-upload-base64": {"operation": _SUCCESS_ONLY, "properties": {"base64_data": {"enum": _ENCODED}}},
    # Form fields are strings whatever their type, and the page's example is not a file.
    "files-upload-stream": {
        "operation": {**_SUCCESS_ONLY, "requestBody": {"content": {"multipart/form-data": {"examples": None}}}},
        "properties": {"upload_path": {"type": None}, "file_name": {"type": None}},
    },
    # "Must be a publicly accessible URL"
    "files-upload-url": {
        "operation": _SUCCESS_ONLY,
        "properties": {"file_url": {"enum": ["https://example.com/a.png", "http://example.com/b.mp4"]}},
    },
    # From its 400: "must start with 'task-unified-'".
    "get-task-detail": {"operation": {"parameters": [{"schema": {"pattern": "^task-unified-"}}]}},
}


def _merge(into: Any, changes: Any) -> Any:
    """Merge changes into a document: objects and list entries recursively; None removes, anything else replaces."""
    if isinstance(changes, dict) and isinstance(into, dict):
        merged = {**into, **{name: _merge(into.get(name), change) for name, change in changes.items()}}
        return {name: value for name, value in merged.items() if value is not None}
    if isinstance(changes, list) and isinstance(into, list) and all(isinstance(change, dict) for change in changes):
        return [_merge(old, new) for old, new in zip(into, changes, strict=True)]
    return changes


@cache
def operation(page: str) -> Any:
    """Return the only operation of an amended page, served by its own emulator with unlimited credits."""
    document = yaml.safe_load((DATA / "openapi" / f"{page}.yaml").read_text(encoding="utf-8"))
    changes = dict(AMENDED.get(page, {}))
    ((path, methods),) = document["paths"].items()
    ((method, definition),) = methods.items()
    document["paths"][path][method] = _merge(definition, changes.pop("operation", {}))
    for content in definition.get("requestBody", {}).get("content", {}).values():
        name = content["schema"]["$ref"].rpartition("/")[2]
        document["components"]["schemas"][name] = _merge(document["components"]["schemas"][name], changes)
    schema = schemathesis.openapi.from_dict(document)
    schema.app = Emulator(Settings(credits=1e12, seed=1)).application()
    return schema[path][method]


def _plain(value: Any) -> Any:
    """Convert integers that JSON Schema allows and the emulator's readers do not: 3.0, and more than 64 bits."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value % 2**63 if isinstance(value, int) and abs(value) >= 2**63 else value


def _is_of_a_new_model(body: Any) -> bool:
    """Return whether a body has a model that no page lists; it is accepted, since EvoLink adds models every week."""
    model = body.get("model") if isinstance(body, dict) else None
    return isinstance(model, str) and catalog.find(model) is None


def _has_unsupported_link(body: Any) -> bool:
    """Return whether a body has a URI, such as `data:`, where a page requires a link to http or https in prose only."""
    links = [body.get(name) for name in ("callback_url", "mask_url")] if isinstance(body, dict) else []
    return any(isinstance(link, str) and not link.startswith("https://") for link in links)


schemathesis.openapi.format(
    "binary", st.sampled_from([(DATA / f"frame.{kind}").read_bytes() for kind in ("png", "jpg", "gif", "webp")])
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("page", PAGES)
def test_the_emulator_conforms_to_the_page(page: str, mode: GenerationMode) -> None:
    """Requests that a page allows or rules out get a documented response, and never cause a crash."""

    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
    @given(operation(page).as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if case.media_type == "application/json":
            case.body = _plain(case.body)
        assume(mode is GenerationMode.NEGATIVE or not _has_unsupported_link(case.body))
        excluded = [negative_data_rejection] if _is_of_a_new_model(case.body) else []
        case.call_and_validate(headers={"Authorization": f"Bearer {DEFAULT_API_KEY}"}, excluded_checks=excluded)

    check()
