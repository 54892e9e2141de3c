"""
The emulator against EvoLink's saved OpenAPI pages, with requests made from the pages: such as fit, and such as do not.

schemathesis makes the requests and judges the answers: documented statuses, content types and bodies, refusals where
the page rules something out, 401 without the key, and never a crash.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.settings import DEFAULT_KEY, Settings

DATA = Path(__file__).parents[1] / "data"
PAGES = sorted(path.stem for path in (DATA / "openapi").glob("*.yaml"))
PICTURE = base64.b64encode((DATA / "frame.png").read_bytes()).decode()

_ENCODED = [f"data:image/png;base64,{PICTURE}", PICTURE]
_IMAGES = {"items": {"enum": ["https://example.com/a.png", *_ENCODED]}}
# Without its limit, since long texts that fit a pattern take seconds to make.
_PROMPT = {"prompt": {"pattern": r"\S", "maxLength": None}}
_SUCCESS_ONLY = {"responses": {"400": {"description": "refused"}, "401": {"description": "no key"}}}
# What a page says in words only, or leaves out; each is judged as if it said so.
AMENDED: dict[str, dict[str, Any]] = {
    # One of the two kinds of reference at a time.
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
    # Of its five models each needs other pictures and videos.
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
            "image_urls": {"maxItems": 16},
        }
    },
    # The pages of the files API show success only, though it refuses, too: seen in EvoLink's own clients.
    "files-quota": {"operation": _SUCCESS_ONLY},
    "files-upload-base64": {"operation": _SUCCESS_ONLY, "properties": {"base64_data": {"enum": _ENCODED}}},
    # A field of a form is a text, whatever was meant by it; its example is no file.
    "files-upload-stream": {
        "operation": {**_SUCCESS_ONLY, "requestBody": {"content": {"multipart/form-data": {"examples": None}}}},
        "properties": {"upload_path": {"type": None}, "file_name": {"type": None}},
    },
    # Its 400 says so: "must start with 'task-unified-'".
    "get-task-detail": {"operation": {"parameters": [{"schema": {"pattern": "^task-unified-"}}]}},
}


def _merge(into: Any, changes: Any) -> Any:
    """Lay changes over a document: objects and the entries of lists are merged, None removes, all else is replaced."""
    if isinstance(changes, dict) and isinstance(into, dict):
        merged = {**into, **{name: _merge(into.get(name), change) for name, change in changes.items()}}
        return {name: value for name, value in merged.items() if value is not None}
    if isinstance(changes, list) and isinstance(into, list) and all(isinstance(one, dict) for one in changes):
        return [_merge(old, new) for old, new in zip(into, changes, strict=True)]
    return changes


@cache
def operation(page: str) -> Any:
    """The only operation of a page as amended, served by an emulator of its own that never runs out of credits."""
    document = yaml.safe_load((DATA / "openapi" / f"{page}.yaml").read_text(encoding="utf-8"))
    changes = dict(AMENDED.get(page, {}))
    ((path, methods),) = document["paths"].items()
    ((method, found),) = methods.items()
    document["paths"][path][method] = _merge(found, changes.pop("operation", {}))
    for content in found.get("requestBody", {}).get("content", {}).values():
        name = content["schema"]["$ref"].rpartition("/")[2]
        document["components"]["schemas"][name] = _merge(document["components"]["schemas"][name], changes)
    schema = schemathesis.openapi.from_dict(document)
    schema.app = Emulator(Settings(credits=1e12, seed=1)).application()
    return schema[path][method]


def _plain(value: Any) -> Any:
    """To JSON schema 3.0 is an integer, and so is one of 80 bits; neither is to what reads it."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value % 2**63 if isinstance(value, int) and abs(value) >= 2**63 else value


def _is_of_a_new_model(body: Any) -> bool:
    """A page lists its own models; one that no page knows yet is taken as it is, since EvoLink has more every week."""
    named = body.get("model") if isinstance(body, dict) else None
    return isinstance(named, str) and catalog.find(named) is None


schemathesis.openapi.format(
    "binary", st.sampled_from([(DATA / f"frame.{kind}").read_bytes() for kind in ("png", "jpg", "gif", "webp")])
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("page", PAGES)
def test_the_emulator_and_the_page_agree(page: str, mode: GenerationMode) -> None:
    """Whatever a page lets be asked, or rules out, is answered as the page says, and never with a crash."""

    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
    @given(operation(page).as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if case.media_type == "application/json":
            case.body = _plain(case.body)
        excluded = [negative_data_rejection] if _is_of_a_new_model(case.body) else []
        case.call_and_validate(headers={"Authorization": f"Bearer {DEFAULT_KEY}"}, excluded_checks=excluded)

    check()
