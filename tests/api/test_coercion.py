# SPDX-License-Identifier: Apache-2.0
"""What templates and mapped tasks pass is coerced to the types of a model's parameters."""

from __future__ import annotations

import json
from collections import UserDict, UserList, deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.coercion import fit, plain
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.api.schema import fits
from tests import hostile

T2V, LINK = "gemini-omni-flash-text-to-video", "https://example.com/a.png"
VIDEO = {"prompt": "a cat", "duration": 5}


class Lazy(Sequence[Any]):
    """A sequence that computes its items on access, like Airflow's for a mapped task."""

    def __init__(self, *entries: Any) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: Any) -> Any:
        return self.entries[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.entries)


class Proxy(Mapping[str, Any]):
    """A mapping that is not a dictionary."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def sent(model: str, **parameters: Any) -> dict[str, Any]:
    """Return the parameters as they are sent."""
    body: dict[str, Any] = json.loads(prepare(model, parameters).body)
    assert body.pop("model") == model
    return body


def refusal(model: str, **parameters: Any) -> InvalidInputError:
    """Return the error that rejects these parameters."""
    with pytest.raises(InvalidInputError) as raised:
        prepare(model, parameters)
    return raised.value


@pytest.mark.parametrize("links", [Lazy(LINK), (LINK,), deque([LINK]), UserList([LINK])])
@pytest.mark.parametrize("model", ["gemini-omni-flash-image-to-video", "a-video-model-nobody-knows"])
def test_sequences_become_lists(model: str, links: Any) -> None:
    """Any sequence but text becomes a list, for an unknown model, too."""
    assert sent(model, prompt="x", image_urls=links)["image_urls"] == [LINK]


def test_nested_sequences_and_mappings_become_plain() -> None:
    """Sequences become lists and mappings become dictionaries at every depth of a parameter."""
    references = Proxy(frontal_image=LINK, refer_images=Lazy(MappingProxyType({"image_url": LINK})))
    element = {"element_name": "me", "element_description": "x", "reference_type": "image_refer"}
    body = sent("kling-custom-element", model_params=UserDict(element, element_image_list=references))
    assert body["model_params"]["element_image_list"] == {
        "frontal_image": LINK,
        "refer_images": [{"image_url": LINK}],
    }
    assert plain(b"bytes", "x") == b"bytes"


def test_a_sequence_that_contains_itself_is_rejected() -> None:
    """An endless value ends in an error."""
    endless = UserList[Any]()
    endless.extend([endless, endless])
    assert "32 levels" in str(refusal(T2V, **VIDEO, seed=endless))


@pytest.mark.parametrize(
    ("model", "parameters", "expected"),
    [
        (T2V, {**VIDEO, "duration": "5"}, {"duration": 5}),
        (T2V, {**VIDEO, "duration": " 5\n"}, {"duration": 5}),
        (T2V, {**VIDEO, "duration": "auto"}, {"duration": "auto"}),
        (T2V, {**VIDEO, "prompt": 1984}, {"prompt": "1984"}),
        (T2V, {**VIDEO, "prompt": 1.5}, {"prompt": "1.5"}),
        (T2V, {**VIDEO, "prompt": True}, {"prompt": "True"}),
        (T2V, {**VIDEO, "prompt": "1984"}, {"prompt": "1984"}),
        ("seedance-2.5-text-to-video", {"prompt": "x", "duration": "-1"}, {"duration": -1}),
        ("seedance-2.5-text-to-video", {"prompt": "x", "draft": "True"}, {"draft": True}),
        ("seedance-2.5-text-to-video", {"prompt": "x", "draft": "false"}, {"draft": False}),
        ("wan2.7-text-to-video", {"prompt": "x", "duration": "2.5"}, {"duration": 2.5}),
        ("wan2.7-text-to-video", {"prompt": "x", "duration": "3"}, {"duration": 3}),
        ("MiniMax-Hailuo-2.3", {"prompt": "x", "duration": "10"}, {"duration": 10}),
        ("suno-v5-beta", {"prompt": "x", "instrumental": "true"}, {"instrumental": True}),
        (
            "topaz-video-upscale",
            {"video_urls": [LINK], "model_params": {"upscale_factor": 4}},
            {"model_params": {"upscale_factor": "4"}},
        ),
        (
            "kling-o3-text-to-video",
            {"prompt": "x", "model_params": {"element_list": [{"element_id": 12345}]}},
            {"model_params": {"element_list": [{"element_id": "12345"}]}},
        ),
    ],
)
def test_scalars_are_coerced_to_the_type(model: str, parameters: dict[str, Any], expected: dict[str, Any]) -> None:
    """Digits become numbers, true and false become booleans, and scalars become text, also nested and in unions."""
    body = sent(model, **parameters)

    assert {name: body[name] for name in expected} == expected
    assert [type(body[name]) for name in expected] == [type(value) for value in expected.values()]


def test_a_number_as_text_is_the_same_request() -> None:
    """The bytes sent do not depend on how a template rendered a value, so a retry recognizes its request."""
    assert prepare(T2V, {**VIDEO, "duration": "5"}).body == prepare(T2V, {**VIDEO, "duration": 5}).body
    assert prepare(T2V, {**VIDEO, "prompt": "7"}).body == prepare(T2V, {**VIDEO, "prompt": 7}).body


@pytest.mark.parametrize("duration", [5.0, "5.0", " 5.00 ", "5.", "+5"])
def test_a_whole_number_is_an_integer(duration: object) -> None:
    """What a data frame makes of 5 in a column with gaps is the same request as 5."""
    assert prepare(T2V, {**VIDEO, "duration": duration}).body == prepare(T2V, {**VIDEO, "duration": 5}).body


@pytest.mark.parametrize("duration", [5.5, float("nan"), float("inf"), 1e300, float(2**53)])
def test_other_floats_are_no_integers(duration: float) -> None:
    """A fraction, and a float that may stand for several integers, are not rounded."""
    assert refusal(T2V, prompt="x", duration=duration).parameter == "duration"


@pytest.mark.parametrize(("factor", "expected"), [(2.0, "2"), (2, "2"), ("2", "2")])
def test_a_whole_number_is_a_choice(factor: object, expected: str) -> None:
    """Where a model has numbers as text, a data frame's 2.0 is its '2'."""
    body = sent("topaz-video-upscale", video_urls=[LINK], model_params={"upscale_factor": factor})
    assert body["model_params"] == {"upscale_factor": expected}


@pytest.mark.parametrize("duration", ["99", "2", 99, "-5", "10000000000000000000"])
def test_out_of_range_stays_rejected(duration: Any) -> None:
    """A number that came as text is rejected as the number it is."""
    error = refusal(T2V, prompt="x", duration=duration)

    assert error.refusal == f"`duration`={int(duration)} is invalid: must be an integer from 3 to 10, or 'auto'."


def test_none_is_left_out() -> None:
    """A parameter that is None is not sent, so the model's default applies, whether the model is known or not."""
    assert "duration" not in sent(T2V, prompt="x", duration=None)
    assert sent("a-video-model-nobody-knows", prompt="x", seed=None) == {"prompt": "x"}


@pytest.mark.parametrize("missing", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["prompt", "image_urls"])
def test_a_missing_cell_is_not_text(place: str, missing: float) -> None:
    """The NaN of an empty table cell is rejected: nobody wants to pay for a video of "nan"."""
    given = {"prompt": "x", "image_urls": [LINK]} | {place: missing if place == "prompt" else [missing]}

    assert "a finite number" in str(refusal("gemini-omni-flash-image-to-video", **given))


@pytest.mark.parametrize("value", ["5.5", "5. 0", "5e0", "5 s", "", "None", "five", "0x5", "1_0", "\u0665", "5" * 50])
def test_text_that_is_not_a_number_is_rejected(value: str) -> None:
    """For text in place of a number, the error names the DAG setting that keeps numbers as numbers."""
    error = refusal(T2V, prompt="x", duration=value)

    assert error.parameter == "duration"
    assert error.allowed.startswith("an integer from 3 to 10, or 'auto'; ")
    assert "render_template_as_native_obj=True" in error.allowed


@pytest.mark.parametrize(
    ("model", "parameters", "parameter"),
    [
        ("suno-v5-beta", {"prompt": "x", "instrumental": "yes"}, "instrumental"),
        ("gemini-omni-flash-image-to-video", {"prompt": "x", "image_urls": f"['{LINK}']"}, "image_urls"),
        ("topaz-video-upscale", {"video_urls": [LINK], "model_params": "{}"}, "model_params"),
        (T2V, {"prompt": ["a", "b"]}, "prompt"),
        (T2V, {"prompt": Lazy("a")}, "prompt"),
        (T2V, {"prompt": {"a": 1}}, "prompt"),
        ("wan2.7-text-to-video", {"prompt": "x", "duration": "nan"}, "duration"),
        ("kling-o3-text-to-video", {"prompt": "x", "model_params": {"multi_shot": "on"}}, "model_params.multi_shot"),
    ],
)
def test_errors_name_what_a_template_may_have_done(model: str, parameters: dict[str, Any], parameter: str) -> None:
    """Where a template may have changed the type, the error names the DAG setting."""
    error = refusal(model, **parameters)

    assert error.parameter == parameter
    assert "render_template_as_native_obj=True" in error.allowed


def test_a_record_in_place_of_its_link_is_recognized() -> None:
    """For a whole generation record in place of a link, the error says where its links are."""
    error = refusal("wan2.7-video-edit", video_urls=Lazy({"generation_id": "task-unified-1", "results": [LINK]}))

    assert error.parameter == "video_urls[0]"
    assert "links are in its 'results'" in error.allowed


def test_undocumented_parameters_are_left_alone() -> None:
    """Undocumented parameters, and all parameters of unknown models, are sent unchanged."""
    assert sent(T2V, **VIDEO, mood="7")["mood"] == "7"
    assert sent("a-video-model-nobody-knows", seconds="7", flag="true") == {"seconds": "7", "flag": "true"}


def test_an_integer_too_large_for_json_is_rejected() -> None:
    """An integer that Python refuses to print is rejected by name instead of crashing."""
    assert "64 bits" in str(refusal(T2V, prompt=10**5000))


@settings(max_examples=300)
@given(st.data())
def test_what_fits_is_left_alone_and_the_rest_never_crashes(data: st.DataObject) -> None:
    """A value that fits its schema is unchanged; any other is coerced, rejected, or left to be rejected later."""
    model = catalog.find(data.draw(st.sampled_from(catalog.names())))
    assert model is not None
    name, schema = data.draw(st.sampled_from(sorted(model.schema["properties"].items())))
    value = data.draw(hostile.corrupted(schema.get("default", "5")))
    try:
        fitted = fit(value, schema, name)
    except InvalidInputError as error:
        assert error.parameter.startswith(name)
        assert not fits(value, schema)
    else:
        if fits(value, schema):
            assert fitted == value
            assert type(fitted) is type(value)
