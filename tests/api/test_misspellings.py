# SPDX-License-Identifier: Apache-2.0
"""Misspelled parameters are refused before they are paid for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.misspellings import meant
from airflow_provider_evolink.api.schema import Schema

T2V = "gemini-omni-flash-text-to-video"
MODELS = tuple(filter(None, map(catalog.find, catalog.names())))
# What a name documented for one model may look like a misspelling of at another: media as a list, or as one link.
CONFUSABLE = {
    *(frozenset((f"{kind}_url", f"{kind}_urls")) for kind in ("image", "video", "audio")),
    frozenset(("mask", "mask_url")),
}


def objects(schema: Schema) -> Iterator[tuple[str, ...]]:
    """Yield the names that each object within a schema has."""
    if "properties" in schema:
        yield tuple(schema["properties"])
    items = [schema["items"]] if "items" in schema else []
    for inner in (*schema.get("properties", {}).values(), *schema.get("oneOf", ()), *items):
        yield from objects(inner)


ALL_NAMES = frozenset(name for model in MODELS for names in objects(model.schema) for name in names)


@pytest.mark.parametrize(
    ("misspelled", "name"),
    [
        ("duraton", "duration"),
        ("duratoin", "duration"),
        ("drtion", "duration"),
        ("durations", "duration"),
        ("Duration", "duration"),
        ("prompttt", "prompt"),
        ("aspectRatio", "aspect_ratio"),
        ("aspect-ratio", "aspect_ratio"),
        ("aspect ratios", "aspect_ratio"),
        ("aspekt_rattio", "aspect_ratio"),
        ("callback", "callback_url"),
        ("callbackUrl", "callback_url"),
    ],
)
def test_a_misspelled_parameter_is_refused(misspelled: str, name: str) -> None:
    """It is named with the right spelling, and with what is allowed if it is no misspelling."""
    others = {} if name == "prompt" else {"prompt": "x"}
    with pytest.raises(InvalidInputError) as refused:
        request.check(T2V, {**others, misspelled: "5"})
    assert refused.value.parameter == misspelled
    assert refused.value.allowed.startswith(f"named `{name}`, ")
    assert f"give `{name}` as well" in refused.value.allowed


@pytest.mark.parametrize("given", ["image", "images", "image_url", "imageUrls", "img_urls", "image_uri"])
def test_media_under_another_name_are_refused(given: str) -> None:
    """A picture that EvoLink would ignore is not paid for as a picture made of text alone."""
    with pytest.raises(InvalidInputError, match="named `image_urls`"):
        request.check("gpt-image-2", {"prompt": "x", given: "https://example.com/a.png"})


def test_a_misspelled_part_of_an_object_is_refused() -> None:
    """Objects within the parameters are looked through as well."""
    given = {"video_urls": ["https://example.com/v.mp4"], "model_params": {"upscale_facter": "2"}}
    with pytest.raises(InvalidInputError, match="`upscale_factor`") as refused:
        request.check("topaz-video-upscale", given)
    assert refused.value.parameter == "model_params.upscale_facter"


def test_a_new_parameter_of_a_similar_name_passes() -> None:
    """With the documented one beside it, it is no misspelling; the warning names it."""
    (warning,) = request.check(T2V, {"prompt": "x", "duration": 5, "durations": [1, 4]})
    assert warning.startswith("`durations` is not documented")


@pytest.mark.parametrize(
    "name", ["quantity", "weight", "camera", "count", "number", "code", "task", "url", "style", "n", "speed", "x"]
)
def test_other_words_pass(name: str) -> None:
    """What is merely similar to a parameter is sent with a warning, whichever model it is given to."""
    for model in MODELS:
        for names in objects(model.schema):
            assert name in names or meant(name, names) is None, model.name


def test_parameters_of_other_models_are_no_misspellings() -> None:
    """Of all 163 models, only a list and a link of the same media are mistaken for each other."""
    seen = {
        frozenset((name, looks_like))
        for model in MODELS
        for names in objects(model.schema)
        for name in ALL_NAMES.difference(names)
        if (looks_like := meant(name, names))
    }
    assert seen == CONFUSABLE


def test_an_unknown_model_may_have_any_parameter() -> None:
    """Of a model that is not in the catalog nothing is known, so nothing is refused."""
    assert len(request.check("gemini-omni-9", {"prompttt": "x"})) == 1


def test_a_link_is_shown_without_its_secret() -> None:
    """The error about a misspelled parameter hides what may be a signature."""
    secret: dict[str, Any] = {"prompt": "x", "image_url": "https://example.com/a.png?X-Signature=5ecret"}
    with pytest.raises(InvalidInputError) as refused:
        request.check("gpt-image-2", secret)
    assert "5ecret" not in str(refused.value)
