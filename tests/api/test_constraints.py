# SPDX-License-Identifier: Apache-2.0
"""Rules between parameters hold as EvoLink's pages state them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.constraints import Given, check_rules, weight
from airflow_provider_evolink.api.errors import InvalidInputError
from tests.api.documented_models import refusal

LINK, FILM, SOUND = (f"https://example.com/a.{ending}" for ending in ("png", "mp4", "mp3"))
SONG = {"custom_mode": True, "style": "jazz", "title": "Rain", "prompt": "la la"}
PERSONA = {"source_task_id": "t", "result_id": "r", "name": "n", "description": "d"}
DESIGN = {"preferred_name": "anna", "voice_prompt": "warm and low", "preview_text": "Good evening, everybody."}
ELEMENT = {"element_name": "me", "element_description": "a face"}


@pytest.mark.parametrize(
    ("model", "parameters", "parameter", "allowed"),
    [
        ("suno-v5-beta", {}, "prompt", "given when `custom_mode` is false"),
        ("suno-v5-beta", {"prompt": " "}, "prompt", "given when `custom_mode` is false"),
        ("suno-v5-beta", {"prompt": "x" * 3001}, "prompt", "at most 3000 characters when `custom_mode` is false"),
        ("suno-v5-beta", {"custom_mode": True, "prompt": "la"}, "style", "given when `custom_mode` is true"),
        ("suno-v5-beta", {**SONG, "prompt": ""}, "prompt", "`custom_mode` is true and `instrumental` is false"),
        ("suno-v5-beta", {**SONG, "duration": 60}, "duration", "left out"),
        ("suno-v4-beta", {**SONG, "persona_id": "p"}, "persona_id", "left out"),
        ("suno-v6-beta", {"prompt": "x", "duration": 60}, "duration", "left out unless `custom_mode` is true"),
        (
            "suno-persona",
            {"model_params": {**PERSONA, "vocal_start": 1}},
            "model_params.vocal_end",
            "given together with `",
        ),
        (
            "suno-persona",
            {"model_params": {**PERSONA, "vocal_start": 1, "vocal_end": 9}},
            "model_params.vocal_end",
            "10 to 30 more than `model_params.vocal_start`",
        ),
        ("wan3.0-image-to-video", {"prompt": "x"}, "image_start", "given"),
        ("wan3.0-reference-video", {}, "prompt", "given unless `image_urls`, `video_urls`"),
        (
            "wan3.0-reference-video",
            {"model_params": {"file_url": LINK, "link_url": LINK}},
            "model_params.link_url",
            "left out when `model_params.file_url` is given",
        ),
        ("seedance-2.5-text-to-video", {"prompt": "x", "duration": 99}, "duration", "from 4 to 30, or -1"),
        ("seedance-2.5-text-to-video", {"prompt": "x", "duration": 0}, "duration", "from 4 to 30, or -1"),
        (
            "seedance-2.5-text-to-video",
            {"prompt": "x", "draft": True, "quality": "720p"},
            "quality",
            "'480p' when `draft` is true",
        ),
        ("seedance-2.0-image-to-video", {"prompt": "x"}, "image_urls", "given"),
        ("seedance-2.0-fast-text-to-video", {"prompt": "x", "quality": "1080p"}, "quality", "'480p' or '720p'"),
        (
            "seedance-2.0-text-to-video",
            {"prompt": "x", "content_filter": False, "model_params": {"web_search": True}},
            "model_params.web_search",
            "anything but true when `content_filter` is false",
        ),
        (
            "seedance-2.0-reference-to-video",
            {"prompt": "x", "audio_urls": [SOUND]},
            "image_urls",
            "given unless `video_urls` is",
        ),
        (
            "minimax-h3-image-to-video",
            {"prompt": "x", "image_start": LINK, "foo": 1},
            "foo",
            "left out: this model",
        ),
        ("minimax-h3-image-to-video", {"prompt": "x"}, "image_start", "given unless `image_end` is given"),
        (
            "minimax-h3-text-to-video",
            {"prompt": "x", "image_urls": [LINK]},
            "image_urls",
            "left out: this model",
        ),
        (
            "minimax-h3-reference-to-video",
            {"prompt": "x", "image_urls": [LINK] * 9, "video_urls": [FILM] * 3, "audio_urls": [SOUND]},
            "audio_urls",
            "add up to at most 12; they add up to 13",
        ),
        ("MiniMax-Hailuo-02", {"duration": 6}, "prompt", "`image_urls` is not given"),
        ("MiniMax-Hailuo-02", {"prompt": "x", "quality": "1080p", "duration": 10}, "duration", "6 when `quality`"),
        ("MiniMax-Hailuo-02", {"prompt": "x", "quality": "512p"}, "image_urls", "exactly 1 item"),
        ("gemini-omni-flash-reference-to-video", {"prompt": "x"}, "image_urls", "given"),
        ("kling-v3-image-to-video", {"prompt": "x", "image_end": LINK}, "image_start", "given"),
        (
            "kling-custom-element",
            {"model_params": {**ELEMENT, "reference_type": "image_refer"}},
            "model_params.element_image_list",
            "given when `model_params.reference_type` is 'image_refer'",
        ),
        (
            "kling-o3-text-to-video",
            {"prompt": "x", "model_params": {"multi_shot": True}},
            "model_params.shot_type",
            "given when `model_params.multi_shot` is true",
        ),
        (
            "kling-o3-text-to-video",
            {
                "prompt": "x",
                "model_params": {
                    "multi_shot": True,
                    "shot_type": "customize",
                    "multi_prompt": [{"index": 1, "prompt": "a", "duration": "3"}],
                },
            },
            "model_params.multi_prompt",
            "add up to `duration`, which is 5",
        ),
        (
            "kling-o3-image-to-video",
            {"prompt": "x", "image_start": "https://example.com/a.png", "model_params": {"multi_prompt": ["a", "b"]}},
            "model_params.multi_prompt",
            "a list of objects, each with its `duration`",
        ),
        (
            "kling-o3-reference-to-video",
            {
                "prompt": "x",
                "video_url": FILM,
                "image_urls": [LINK] * 3,
                "model_params": {"element_list": [{"element_id": "1"}] * 2},
            },
            "model_params.element_list",
            "add up to at most 4 when `video_url` is given; they add up to 5",
        ),
        ("veo3.1-pro-beta", {"prompt": "x", "generation_type": "FIRST&LAST"}, "image_urls", "1 to 2 items"),
        (
            "doubao-seedream-4.0",
            {"prompt": "x", "image_urls": [LINK] * 14, "n": 2},
            "n",
            "at most 15; they add up to 16",
        ),
        ("doubao-seedream-4.0", {"prompt": "x", "size": "64x64"}, "size", "921600 to 16777216 pixels"),
        ("gpt-image-2", {"prompt": "x", "size": "1000x1000"}, "size", "multiples of 16"),
        ("gpt-image-2", {"prompt": "x", "size": "3200x800"}, "size", "at most 3:1"),
        ("voice-enrollment", {"preferred_name": "anna"}, "audio_url", "given unless `voice_prompt` is given"),
        ("voice-enrollment", {**DESIGN, "audio_url": SOUND}, "voice_prompt", "left out when `audio_url` is given"),
        (
            "voice-enrollment",
            {"preferred_name": "anna", "audio_url": SOUND, "preview_text": DESIGN["preview_text"]},
            "preview_text",
            "left out when `audio_url` is given",
        ),
        (
            "voice-enrollment",
            {k: DESIGN[k] for k in ("preferred_name", "voice_prompt")},
            "voice_prompt",
            "accompanied by",
        ),
        ("qwen-audio-3.1-tts-flash", {"voice": "x"}, "prompt", "given unless `input` is given"),
        ("qwen-audio-3.1-tts-flash", {"prompt": "a", "input": "b"}, "input", "equal to `prompt`"),
        ("qwen-audio-3.1-tts-flash", {"prompt": "a", "instruction": "慢" * 51}, "instruction", "counts as 2"),
        ("qwen-audio-3.1-tts-flash", {"prompt": "a", "seed": 1}, "seed", "left out: this model"),
        (
            "wan2.7-image-to-video",
            {"video_urls": [FILM], "audio_urls": [SOUND]},
            "audio_urls",
            "left out when `video_urls`",
        ),
        (
            "wan2.7-image-to-video",
            {"generation_mode": "first_frame"},
            "image_start",
            "`generation_mode` is 'first_frame'",
        ),
    ],
)
def test_documented_rules_are_enforced(model: str, parameters: dict[str, Any], parameter: str, allowed: str) -> None:
    """What a model's own page rules out is rejected before it is paid for, with the parameter and the rule."""
    error = refusal(model, parameters)

    assert error.parameter == parameter
    assert allowed in error.allowed


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("suno-v5-beta", {"prompt": "a song about rain"}),
        ("suno-v5-beta", SONG),
        ("suno-v5-beta", {**SONG, "instrumental": True, "prompt": ""}),
        ("suno-v6-beta", {**SONG, "duration": 60}),
        ("suno-persona", {"model_params": {**PERSONA, "vocal_start": 0, "vocal_end": 10.5}}),
        ("seedance-2.5-text-to-video", {"prompt": "x", "duration": -1}),
        ("seedance-2.5-text-to-video", {"prompt": "x", "duration": 30}),
        ("seedance-2.5-text-to-video", {"prompt": "x", "draft": True, "quality": "480p"}),
        ("seedance-2.0-image-to-video", {"prompt": "x", "image_urls": [LINK] * 2, "quality": "4k"}),
        ("wan3.0-image-to-video", {"image_start": LINK, "image_end": LINK, "duration": 30}),
        ("minimax-h3-image-to-video", {"prompt": "x", "image_end": LINK}),
        ("MiniMax-Hailuo-02", {"image_urls": [LINK], "quality": "512p"}),
        ("doubao-seedream-4.0", {"prompt": "x", "image_urls": [LINK] * 14, "n": 1, "size": "4096x4096"}),
        ("gpt-image-2", {"prompt": "x", "size": "3:2"}),
        ("gpt-image-2", {"prompt": "x", "size": "2400x800"}),
        ("voice-enrollment", DESIGN),
        ("voice-enrollment", {"preferred_name": "anna", "audio_url": SOUND}),
        ("qwen-audio-3.1-tts-flash", {"prompt": "a", "input": "a", "instruction": "慢" * 50}),
        (
            "kling-o3-text-to-video",
            {
                "prompt": "x",
                "duration": 7,
                "model_params": {
                    "multi_shot": True,
                    "shot_type": "customize",
                    "multi_prompt": [
                        {"index": 1, "prompt": "a", "duration": "3"},
                        {"index": 2, "prompt": "b", "duration": "4"},
                    ],
                },
            },
        ),
    ],
)
def test_what_the_rules_allow_passes(model: str, parameters: dict[str, Any]) -> None:
    """Requests just within the documented rules pass without a warning."""
    assert request.check(model, parameters) == []


@pytest.mark.parametrize(
    ("model", "parameters", "parameter"),
    [
        ("suno-v5-beta", {"prompt": "x", "style": "jazz"}, "style"),
        ("gpt-image-2", {"prompt": "x", "mask_url": LINK}, "mask_url"),
        ("wan3.0-text-to-video", {"prompt": "x" * 20_001}, "prompt"),
        ("happyhorse-1.1-text-to-video", {"prompt": "雨" * 2501}, "prompt"),
    ],
)
def test_what_has_no_effect_draws_a_warning(model: str, parameters: dict[str, Any], parameter: str) -> None:
    """What EvoLink ignores or truncates without an error is sent with one warning that names it."""
    (warning,) = request.check(model, parameters)

    assert warning.startswith(f"`{parameter}` should be ")


@pytest.mark.parametrize(
    ("old", "new"), [("qwen3-tts-vd", "qwen-audio-3.1-tts-flash"), ("nano-banana-beta", "nano-banana-2-lite-beta")]
)
def test_replaced_models_draw_a_warning(old: str, new: str) -> None:
    """A model that EvoLink has withdrawn or redirects is sent with a warning that names the other model."""
    parameters = {"prompt": "a cat", "text": "a", "voice": "b"} if old == "qwen3-tts-vd" else {"prompt": "a cat"}

    assert new in request.check(old, parameters)[0]


def test_older_names_have_the_same_rules() -> None:
    """An older name that EvoLink maps to a model is checked like that model."""
    assert catalog.find("suno-v5") == catalog.find("suno-v5-beta")
    assert refusal("suno-v5", {}).parameter == "prompt"


def test_advice_names_every_parameter_once() -> None:
    """Each parameter without effect draws its own warning."""
    warnings = request.check("suno-v5-beta", {"prompt": "x", "style": "a", "title": "b"})

    assert [warning.partition(" ")[0] for warning in warnings] == ["`style`", "`title`"]


def test_defaults_count_in_conditions() -> None:
    """A condition sees the documented default of a parameter that is left out, at every depth."""
    schema = {"properties": {"a": {"default": 1}, "b": {"properties": {"c": {"default": False}}}}}
    given = Given({"d": ["x", "y"]}, schema)

    assert given.meets({"a": 1, "b.c": False, "d": {"min": 2}, "e": {"max": 0}})
    assert not given.meets({"a": 2})
    assert not given.meets({"d": {"max": 1}})


def test_a_chinese_character_can_count_twice() -> None:
    """Only Chinese characters count more, as on EvoLink's pages."""
    assert weight("雨 rain ダ", 2) == 2 + 1 + 4 + 1 + 1


def names_of(rule: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters that a rule names."""
    for part in ("params", "with", "if", "values"):
        names = rule.get(part, ())
        yield from names if part != "values" or isinstance(names, dict) else ()


def test_every_rule_names_existing_parameters() -> None:
    """No rule is ineffective because it names a parameter that its model does not have."""
    for name in catalog.names():
        model = catalog.find(name)
        assert model is not None
        for rule in model.rules:
            for path in [] if rule["rule"] == "unsupported" else names_of(rule):
                schema: Mapping[str, Any] = model.schema
                for part in path.split("."):
                    schema = schema["properties"][part]


def test_every_rule_of_the_catalog_can_be_checked() -> None:
    """No model has a rule that the provider can't check."""
    for name in catalog.names():
        model = catalog.find(name)
        assert model is not None
        for rule in model.rules:
            try:
                assert isinstance(check_rules({}, [rule], model.schema), list)
            except InvalidInputError as error:
                assert error.parameter.partition(".")[0] in model.schema["properties"]
