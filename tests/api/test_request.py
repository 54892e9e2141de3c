# SPDX-License-Identifier: Apache-2.0
"""Before a request is sent it is accepted, accepted with warnings, or rejected."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import request
from airflow_provider_evolink.api.errors import InvalidInputError
from tests.api.documented_models import refusal

I2V = "gemini-omni-flash-image-to-video"
GOOD: dict[str, Any] = {"prompt": "A slow pan.", "image_urls": ["https://example.com/portrait.jpg"]}


OMNI, FACTOR = "gemini-omni-1.1-flash-", "model_params.upscale_factor"
BINDINGS = {"voice_bindings": {"me": "no"}}
LINK, FILM = "https://example.com/a.png", "https://example.com/a.mp4"
ELEMENT = {"element_name": "x" * 21, "element_description": "y", "reference_type": "image_refer"}
SONG = {"custom_mode": True, "style": "jazz", "title": "Rain", "prompt": "la la"}
VOICE = {"voice_prompt": "low", "preview_text": "hi", "preferred_name": "not a name"}


@pytest.mark.parametrize(
    ("model", "parameters", "rejected"),
    [
        ("topaz-video-upscale", {"video_urls": [FILM], "model_params": {"upscale_factor": "4"}}, None),
        ("topaz-video-upscale", {"video_urls": [FILM], "model_params": {"upscale_factor": 4}}, FACTOR),
        ("topaz-video-upscale", {"video_urls": [FILM], "model_params": {"upscale_factor": "3"}}, FACTOR),
        ("topaz-video-upscale", {"model_params": {"upscale_factor": "2"}}, "video_urls"),
        ("suno-v6-beta", {**SONG, "duration": 360, "style_weight": 0.07, "weirdness_constraint": 1}, None),
        ("suno-v6-beta", {**SONG, "duration": 361}, "duration"),
        ("suno-v5-beta", {"style_weight": 1.01}, "style_weight"),
        ("suno-v5-beta", {"title": "x" * 81}, "title"),
        ("qwen-image-3.0", {"prompt": "a cat", "n": 6, "seed": 0}, None),
        ("qwen-image-3.0", {"prompt": "a cat", "n": 7}, "n"),
        ("qwen-image-3.0", {"prompt": " \n\t"}, "prompt"),
        ("gpt-image-2", {"prompt": "x" * 32000, "quality": "high", "n": 10}, None),
        ("gpt-image-2", {"prompt": "x" * 32001}, "prompt"),
        ("MiniMax-Hailuo-02", {"duration": 6, "quality": "512p", "image_urls": [LINK]}, None),
        ("MiniMax-Hailuo-02", {"duration": 7}, "duration"),
        ("MiniMax-Hailuo-02", {"duration": 6.0}, "duration"),
        ("doubao-seed-audio-1-0", {"prompt": "hi", "pitch_rate": -12, "speech_rate": 0.57}, None),
        ("doubao-seed-audio-1-0", {"prompt": "hi", "pitch_rate": -13}, "pitch_rate"),
        ("doubao-seed-audio-1-0", {"prompt": "hi", "sample_rate": 44000}, "sample_rate"),
        ("gemini-omni-flash-video-edit", {"prompt": "warmer", "video_urls": [FILM]}, None),
        ("gemini-omni-flash-video-edit", {"prompt": "warmer"}, "video_urls"),
        ("gemini-omni-flash-reference-to-video", {"prompt": "x", "image_urls": [LINK] * 6}, None),
        ("gemini-omni-flash-reference-to-video", {"prompt": "x", "image_urls": [LINK] * 7}, "image_urls"),
        (OMNI + "image-to-video", {"prompt": "x", "image_urls": [LINK] * 2, "quality": "4k"}, None),
        (OMNI + "image-to-video", {"prompt": "x", "image_urls": [LINK] * 3}, "image_urls"),
        (OMNI + "image-to-video", {"prompt": "x", "image_urls": [LINK], "duration": "auto"}, "duration"),
        (OMNI + "video-edit", {"prompt": "x", "video_urls": [FILM], "duration": "auto"}, None),
        (OMNI + "video-edit", {"prompt": "x", "video_urls": [FILM], "duration": 3}, "duration"),
        (OMNI + "text-to-video", {"prompt": "x", "quality": "auto"}, "quality"),
        ("kling-custom-element", {"model_params": ELEMENT}, "model_params.element_name"),
        ("qwen-voice-design", VOICE, "preferred_name"),
        ("mj-v7-inpaint", {"model_params": {"task_id": "t", "mask": {"url": LINK}}}, None),
        ("mj-v7-inpaint", {"model_params": {"task_id": "t", "mask": {}}}, "model_params.mask"),
        ("wan2.7-reference-video", {"prompt": "x", "model_params": BINDINGS}, "model_params.voice_bindings.me"),
    ],
)
def test_limits_as_the_documentation_prints_them(model: str, parameters: dict[str, Any], rejected: str | None) -> None:
    """Limits copied by hand from EvoLink's pages hold, whatever the catalog says."""
    if rejected is None:
        assert request.check(model, parameters) == []
    else:
        assert refusal(model, parameters).parameter == rejected


# --- undocumented models and parameters --------------------------------------------------------------------------


def test_an_unknown_model_passes_with_one_warning() -> None:
    """A model that is newer than the catalog passes with one warning that names it."""
    (warning,) = request.check("gemini-omni-flash-image-to-vidoe", {"anything": [1, {"x": None}]})
    assert "'gemini-omni-flash-image-to-vidoe' is not in the catalog" in warning
    assert warning.startswith("Did you mean 'gemini-omni-flash-image-to-video'? ")
    assert "mean" not in request.check("zzz", {})[0]


def test_unknown_parameters_pass_with_one_warning_each() -> None:
    """A parameter that is newer than the catalog passes with one warning that names it and the model's page."""
    first, second = request.check(I2V, {**GOOD, "camera": "left", "model_params": {"seed": 1}})
    assert first.startswith("`camera` is not documented for gemini-omni-flash-image")
    assert "https://docs.evolink.ai/en/api-manual/" in first
    assert second.startswith("`model_params` is not documented")


def test_unknown_nested_parameters_are_named_by_their_path() -> None:
    """An undocumented part of a documented object draws a warning, too."""
    (warning,) = request.check(
        "topaz-video-upscale", {"video_urls": ["https://a.com/v.mp4"], "model_params": {"loudness": 60}}
    )
    assert warning.startswith("`model_params.loudness` is not documented for topaz-video-upscale")


@pytest.mark.parametrize("model", ["no-such-model", I2V])
def test_callbacks_and_json_are_checked_for_unknown_models_too(model: str) -> None:
    """A wrong callback URL and a value that is not JSON are rejected for any model."""
    assert refusal(model, {**GOOD, "callback_url": "http://example.com/"}).parameter == "callback_url"
    assert refusal(model, {**GOOD, "callback_url": None}).parameter == "callback_url"
    assert refusal(model, {**GOOD, "x": {"y": [1, {2}]}}).parameter == "x.y[1]"


@pytest.mark.parametrize("model", [None, "", "  ", 5])
def test_a_model_is_required(model: Any) -> None:
    """A blank model is rejected."""
    assert refusal(model, GOOD).parameter == "model"


@pytest.mark.parametrize("model", ["no-such-model-to-video", I2V])
def test_what_a_template_left_empty_is_rejected(model: str) -> None:
    """A template that finds no value renders as a text, which EvoLink would take for a prompt and charge for."""
    with pytest.raises(InvalidInputError, match=r"^`prompt`='None' is invalid: must be a value: a template"):
        request.prepare(model, {**GOOD, "prompt": "None"})


def test_the_parameters_cannot_name_another_model() -> None:
    """The parameters may repeat the model, but not name another."""
    assert request.check(I2V, {**GOOD, "model": I2V}) == []
    assert refusal(I2V, {**GOOD, "model": "suno-v5-beta"}).parameter == "parameters.model"
    assert refusal(I2V, {**GOOD, "model": 10**5000}).parameter == "model"


# --- JSON -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.timedelta(seconds=5),
        decimal.Decimal("1.5"),
        {1, 2},
        frozenset({10**5000}),
        b"bytes",
        object(),
        iter([1]),
        float("nan"),
        float("inf"),
        float("-inf"),
        -(2**65),
        "\ud800",
        {1: "x"},
        {"\ud800": 1},
        {None: 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": (v,)}])
def test_what_is_not_json_is_rejected_by_name(value: object, wrap: Any) -> None:
    """A value that JSON can't represent is rejected with its parameter's name, when checking and when preparing."""
    parameters = {**GOOD, "seed": wrap(value)}
    error = refusal(I2V, parameters)
    assert error.parameter in {"seed", "seed[0]", "seed.a[0]"}
    assert "seed" in str(error)
    with pytest.raises(InvalidInputError, match="seed"):
        request.prepare("zzz", parameters, media_type="video")


def test_names_are_text() -> None:
    """A parameter whose name is not text is rejected."""
    assert refusal(I2V, {**GOOD, 5: 1}).parameter == "parameters"  # type: ignore[dict-item]
    with pytest.raises(InvalidInputError, match="object whose names are valid Unicode text"):
        request.prepare("zzz", {"\ud800": 1}, media_type="video")


def test_integers_are_bounded() -> None:
    """An integer that no JSON parser accepts is rejected, even if Python can't print it."""
    assert "64 bits" in str(refusal(I2V, {**GOOD, "seed": 10**5000}))
    assert request.check("zzz", {"seed": 2**64 - 1})


def test_a_value_that_contains_itself_is_rejected() -> None:
    """An endless value ends in an error, not in a crash."""
    endless: list[object] = []
    endless.append(endless)
    assert "32 levels" in str(refusal(I2V, {**GOOD, "seed": endless}))


text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**64) + 1, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, database=None, deadline=2000)
@given(st.dictionaries(st.sampled_from(["prompt", "seed", "model_params", "n"]), json_values))
def test_any_json_is_judged_without_a_crash(parameters: dict[str, Any]) -> None:
    """Any JSON survives a round trip, and is accepted or rejected by every model's check."""
    assert json.loads(request.encode_body(parameters)) == parameters
    request.check("zzz", parameters)
    for model in (I2V, "suno-v5-beta", "mj-v7-inpaint", "kling-custom-element", "zzz"):
        with contextlib.suppress(InvalidInputError):
            assert all(isinstance(warning, str) for warning in request.check(model, parameters))


# --- the body ---------------------------------------------------------------------------------------------------


def test_a_body_is_compact_utf8_and_the_same_every_time() -> None:
    """The same values give the same bytes, in whatever order they come."""
    body = request.encode_body({"prompt": "雨の街 🌧", "model": "m", "n": 1, "b": (1.5, None, True)})
    assert body == '{"b":[1.5,null,true],"model":"m","n":1,"prompt":"雨の街 🌧"}'.encode()
    assert body == request.encode_body({"b": [1.5, None, True], "n": 1, "model": "m", "prompt": "雨の街 🌧"})


def test_a_body_of_64_mb_passes_and_a_byte_more_does_not() -> None:
    """The documented limit counts bytes of the whole body; the error says how large it is and what helps."""
    frame = len('{"prompt":""}')
    largest = "x" * (64 * 1024 * 1024 - frame)
    assert len(request.encode_body({"prompt": largest})) == 64 * 1024 * 1024
    with pytest.raises(InvalidInputError, match=r"64\.1 MB.*at most 64 MB.*links or upload='always'") as raised:
        request.encode_body({"prompt": largest + "x"})
    assert len(str(raised.value)) < 300
    with pytest.raises(InvalidInputError, match=r"128\.1 MB"):
        request.encode_body({"prompt": "é" * (64 * 1024 * 1024)})


# --- errors -----------------------------------------------------------------------------------------------------


def test_an_error_never_prints_an_image() -> None:
    """A value in an error is shortened, nested or not."""
    image = "data:image/gif;base64," + "R0lGODlh" * 50_000
    assert len(str(refusal(I2V, {**GOOD, "image_urls": [image]}))) < 400
    assert len(str(refusal(I2V, {**GOOD, "image_urls": [image, image]}))) < 600
    assert len(str(refusal(I2V, {**GOOD, "duration": image}))) < 400


def test_an_error_about_a_link_says_why_and_shows_no_secrets() -> None:
    """A rejected link in a list is shown with the reason, but without anything that may be secret."""
    error = refusal(I2V, {**GOOD, "image_urls": ["https://10.0.0.1/a.png?signature=SECRET"]})
    assert "10.0.0.1 is a private, loopback, link-local or reserved address" in error.allowed
    assert "SECRET" not in str(error)
    error = refusal("topaz-video-upscale", {"video_urls": ["https://me:SECRET@example.com/a.mp4"]})
    assert "user name or password" in error.allowed
    assert "SECRET" not in str(error)


@pytest.mark.parametrize("link", ["s3://me:SECRET@bucket/a.mp4", "ftp://me:SECRET@example.com/a", "a.mp4?key=SECRET"])
def test_an_error_about_what_is_not_a_link_shows_no_secrets(link: str) -> None:
    """A value that is not a link is shown without anything that may be secret, and with the way to upload a file."""
    error = refusal("topaz-video-upscale", {"video_urls": [link]})
    assert "takes links only" in error.allowed
    assert "EvoLinkHook.upload" in error.allowed
    assert "SECRET" not in str(error)


def test_an_error_says_what_it_cost() -> None:
    """An error has the parameter, the value, what is allowed, and that it cost nothing."""
    assert str(refusal(I2V, {**GOOD, "duration": 2})) == (
        "`duration`=2 is invalid: must be an integer from 3 to 10, or 'auto'. "
        "This attempt sent nothing and cost nothing."
    )
