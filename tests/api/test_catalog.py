# SPDX-License-Identifier: Apache-2.0
"""The documented models, and the endpoints of models that are not documented yet."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError
from scripts import make_catalog
from tests import hostile

VIDEO, IMAGE, AUDIO = (f"/v1/{kind}s/generations" for kind in ("video", "image", "audio"))
TOP = Path(__file__).parents[2]
TEXT = files("airflow_provider_evolink.api").joinpath("catalog.json").read_text(encoding="utf-8")


def test_every_documented_model_is_there() -> None:
    """All 163 documented models have their endpoint."""
    endpoints = Counter(catalog.endpoint_for(name) for name in catalog.names())
    assert endpoints == {VIDEO: 92, IMAGE: 56, AUDIO: 15}


def test_no_rules_come_from_an_overview() -> None:
    """Each model's rules are those of its own page, never those of a page about several models."""
    pages = {name: facts["page"] for name, facts in json.loads(TEXT).items()}
    assert not [name for name, page in pages.items() if "overview" in page]
    facts = {"endpoint": VIDEO, "required": [], "parameters": {}, "page": "en/api-manual/video-series/x/x-overview"}
    with pytest.raises(ValueError, match="overview"):
        make_catalog.entry_of({**facts, "source": {"path": facts["page"]}})


def test_the_same_facts_make_the_same_rules() -> None:
    """However the documentation phrases a fact, it becomes the same rule or advice, or is left out."""
    facts = {
        "endpoint": VIDEO,
        "page": "en/api-manual/video-series/x/x",
        "source": {"path": "en/api-manual/video-series/x/x.json"},
        "required": ["prompt"],
        "parameters": {
            "prompt": {"type": "string", "x_max_chars": {"any": 9, "beyond": "cut"}, "from_text": ["x_max_chars"]},
            "duration": {"type": "integer", "anyOf": [{"minimum": 4, "maximum": 30}, {"enum": [-1]}], "default": 5},
            "size": {
                "type": "string",
                "one_of": [{"enum": ["1:1"]}, {"pixels": {"side_above": 14, "ratio": ["1/4", 4]}}],
            },
            "rate": {"type": ["number", "null"], "multipleOf": 0.01},
            "image_urls": {"type": "array", "items": {"type": "string"}},
            "callback_url": {"type": "string", "format": "uri"},
        },
        "media": {"image_urls": {"kind": "image", "forms": ["url", "data_url", "base64"], "formats": ["jpg", "jpeg"]}},
        "constraints": [{"rule": "needs", "param": "rate", "with": ["size"], "else": "ignored"}],
        "additional_properties": False,
        "link_life_hours": 72,
    }
    entry = make_catalog.entry_of(facts)
    properties = entry["schema"].pop("properties")
    assert make_catalog.pixels_of({"ratio": ["1/4", 4]}) == make_catalog.pixels_of({"max_ratio": 4}) == {"ratio": 4}
    assert properties == {
        "prompt": {"type": "string", "pattern": r"\S"},
        "duration": {
            "oneOf": [{"type": "integer", "minimum": 4, "maximum": 30}, {"type": "integer", "enum": [-1]}],
            "default": 5,
        },
        "size": {
            "oneOf": [
                {"type": "string", "enum": ["1:1"]},
                {"type": "string", "pixels": {"side": [15, None], "ratio": 4}},
            ]
        },
        "rate": {"type": "number"},
        "image_urls": {"type": "array", "items": {"type": "string", "format": "image"}},
    }
    assert entry == {
        "endpoint": VIDEO,
        "page": "video-series/x/x",
        "schema": {"required": ["prompt"], "additionalProperties": False},
        "rules": [
            {"rule": "needs", "params": ["rate"], "with": ["size"], "is_advice": True},
            {"rule": "max_weight", "params": ["prompt"], "max": 9, "is_advice": True},
        ],
        "link_hours": 72,
        "media": {
            "image_urls": {
                "kind": "image",
                "forms": ["url", "data_url", "base64"],
                "is_list": True,
                "formats": ["jpeg"],
            }
        },
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kling-custom-element", False),
        ("suno-persona", False),
        ("voice-enrollment", False),
        ("suno-v5-beta", True),
        ("suno-v5", True),
        ("gemini-omni-flash-image-to-video", True),
        ("never-heard-of", True),
        ("", True),
    ],
)
def test_which_models_make_files(name: str, expected: bool) -> None:
    """Every model must make files, except for the three that are documented to complete without."""
    assert catalog.makes_files(name) is expected
    assert sum(not catalog.makes_files(known) for known in catalog.names()) == 3


def test_the_data_reads_well_in_a_diff() -> None:
    """The file has one model per line, sorted, in compact JSON."""
    first, *lines, last = TEXT.splitlines()
    models = json.loads(TEXT)
    assert (first, last) == ("{", "}")
    assert [json.loads("{" + line.removesuffix(",") + "}") for line in lines] == [{n: m} for n, m in models.items()]
    assert list(models) == sorted(models)
    assert ": " not in lines[0].split(": ", 1)[1]


def test_the_data_has_no_rules_that_nothing_checks() -> None:
    """There are no step widths, which float arithmetic gets wrong, and no formats but our own."""
    assert "multipleOf" not in TEXT
    links = {"http-url", "image-link", "video-link", "audio-link"}
    assert set(re.findall(r'"format":"([^"]*)"', TEXT)) == {*links, "url-or-data-url", "image"}


def test_a_model_has_what_is_documented() -> None:
    """A model has its endpoint, its links' life, its estimate and its page."""
    model = catalog.find("gemini-omni-flash-image-to-video")
    assert model is not None
    assert (model.name, model.endpoint) == ("gemini-omni-flash-image-to-video", VIDEO)
    assert (model.link_life, model.estimated_seconds) == (timedelta(hours=24), 60)
    assert model.documentation == (
        "https://docs.evolink.ai/en/api-manual/video-series/gemini-omni-flash-1.0/gemini-omni-flash-image-to-video"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.name = "x"  # type: ignore[misc]


def test_an_unknown_model_is_not_found() -> None:
    """Names are matched exactly, without case folding or guessing."""
    assert catalog.find("Gemini-Omni-Flash-Image-To-Video") is None
    assert catalog.find("") is None


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("gemini-omni-flash-image-to-video", 24),
        ("suno-v5-beta", 72),
        ("mj-v8.1", 720),
        ("mj-v7-upscale", 24),
        ("no-such-model", 24),
    ],
)
def test_link_life(name: str, hours: int) -> None:
    """Links live as long as documented, and 24 hours where nothing is documented."""
    assert catalog.link_life(name) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("gemini-omni-2-flash", VIDEO),
        ("gemini-omni-2-flash-image-to-video", VIDEO),
        ("grok-imagine-video-2.0-lite", VIDEO),
        ("kling-v4-motion-control", VIDEO),
        ("minimax-h4-max", VIDEO),
        ("seedance-3.0-draft-to-video", VIDEO),
        ("tencent-video-upscale-2", VIDEO),
        ("doubao-seedance-3.0", VIDEO),
        ("somebody-1.0-i2v", VIDEO),
        ("gpt-image-3-flare", IMAGE),
        ("mj-v9-pan", IMAGE),
        ("nano-banana-3-beta", IMAGE),
        ("doubao-seedream-6.0-flash", IMAGE),
        ("somebody-video-to-image", IMAGE),
        ("suno-v7-beta", AUDIO),
        ("qwen-audio-4-tts-flash", AUDIO),
    ],
)
def test_the_endpoint_of_a_new_model_is_inferred_from_its_name(name: str, endpoint: str) -> None:
    """A model that is newer than the catalog is posted where its name or its relatives suggest."""
    assert catalog.find(name) is None
    assert catalog.endpoint_for(name) == endpoint


@pytest.mark.parametrize(
    ("name", "intended"),
    [
        ("gemini-omni-flash-image2video", "gemini-omni-flash-image-to-video"),
        ("Gemini-Omni-Flash-Image2Video", "gemini-omni-flash-image-to-video"),
    ],
)
@pytest.mark.parametrize("media_type", [None, "film"])
def test_a_misspelled_model_is_recognized_first(name: str, intended: str, media_type: str | None) -> None:
    """Where the endpoint is unknown, the error suggests a documented name before it requests a media type."""
    with pytest.raises(InvalidInputError) as raised:
        catalog.endpoint_for(name, media_type)
    assert raised.value.parameter == "model"
    assert f"did you mean {intended!r}?" in raised.value.allowed
    assert catalog.endpoint_for(name, "video") == VIDEO


@pytest.mark.parametrize("name", ["entirely-new", "wan-4", "image-video", "qwen-5", "123", "", "text-to"])
def test_an_ambiguous_name_needs_a_media_type(name: str) -> None:
    """Where the name could be anything, the media type has to be given and is not guessed."""
    with pytest.raises(InvalidInputError, match="media_type") as raised:
        catalog.endpoint_for(name)
    assert raised.value.parameter == "media_type"
    assert catalog.endpoint_for(name, "video") == VIDEO
    assert catalog.endpoint_for(name, "image") == IMAGE
    assert catalog.endpoint_for(name, "audio") == AUDIO


def test_the_documentation_outranks_the_given_media_type() -> None:
    """A known model goes to its documented endpoint, but a media type that does not exist is rejected."""
    assert catalog.endpoint_for("suno-v5-beta", "video") == AUDIO
    with pytest.raises(InvalidInputError, match="'video', 'image' or 'audio'"):
        catalog.endpoint_for("suno-v5-beta", "music")


@pytest.mark.parametrize("name", catalog.names())
def test_inference_never_contradicts_the_documentation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a documented model were missing, its name would lead to the same endpoint, or need a media type."""
    documented = catalog.endpoint_for(name)
    others = {other: catalog.find(other) for other in catalog.names() if other != name}
    monkeypatch.setattr(catalog, "_models", lambda: others)
    catalog._families.cache_clear()
    try:
        assert catalog.endpoint_for(name) == documented
    except InvalidInputError:
        assert name in {
            "doubao-seedance-1.0-pro-fast", "gemini-nano-banana-2.1", "krea-2-turbo", "omnihuman-1.5", "videoretalk",
        }  # fmt: skip
    finally:
        catalog._families.cache_clear()


def test_importing_reads_nothing() -> None:
    """Importing reads no catalog and loads no heavy library, since every DAG parse would pay for it."""
    code = (
        "import sys; from airflow_provider_evolink.api import catalog, media, request; "
        "assert catalog._models.cache_info().currsize == 0; "
        "print(sorted({'jsonschema', 'httpx', 'airflow', 'referencing'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TOP)
    assert done.stdout.strip() == "[]"


@given(hostile.texts | st.text() | st.lists(st.sampled_from(["to", "video", "suno", "i2v", "-", "2"])).map("-".join))
def test_any_name_has_an_endpoint_or_needs_a_media_type(name: str) -> None:
    """Whatever a model is called, it goes to one of the three endpoints or needs a media type."""
    try:
        assert catalog.endpoint_for(name) in {VIDEO, IMAGE, AUDIO}
    except InvalidInputError as error:
        assert error.parameter in {"media_type", "model"}
        assert len(str(error)) < 400
    assert catalog.link_life(name).total_seconds() >= 24 * 3600


def test_models_without_files() -> None:
    """The models that are documented to complete without a file are known; every other model makes files."""
    for name in ("kling-custom-element", "suno-persona", "voice-enrollment"):
        assert not catalog.makes_files(name)
    for name in ("gemini-omni-flash-image-to-video", "suno-v5-beta", "a-model-of-tomorrow"):
        assert catalog.makes_files(name)


def test_lists_of_media_have_the_documented_minimum() -> None:
    """A list that needs a file is refused while it is empty, and the table of models says so."""
    for name in ("gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.5-sunburst"):
        with pytest.raises(InvalidInputError, match="a list of 1 to 16 items"):
            request.check(name, {"prompt": "x", "image_urls": []})
    for model in filter(None, map(catalog.find, catalog.names())):
        for path, rule in model.media.items():
            schema = model.schema["properties"].get(path, {})
            if rule.is_list and schema:
                assert rule.min_count in (None, schema.get("minItems")) or rule.min_count == 0, (model.name, path)
                assert rule.min_count or path not in model.schema.get("required", ()), (model.name, path)
