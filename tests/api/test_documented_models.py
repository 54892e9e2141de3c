# SPDX-License-Identifier: Apache-2.0
"""Every documented model: what its documents allow passes, what lies just beside it is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import check_schema, undocumented
from tests import hostile

Path = tuple[str | int, ...]
each_model = pytest.mark.parametrize("name", catalog.names())


SOUND, PICTURE = "https://example.com/a.mp3", "https://example.com/a.png"
# What the rules between parameters ask for beside what is always required.
ALSO_NEEDED: dict[str, dict[str, Any]] = {
    **{name: {"prompt": "a song"} for name in catalog.names() if name.startswith("suno-v")},
    **{
        name: {"image_urls": [PICTURE]}
        for name in catalog.names()
        if "-reference-" in name and not name.startswith("wan2.6")
    },
    "MiniMax-Hailuo-02": {"prompt": "waves"},
    "minimax-h3-image-to-video": {"image_start": PICTURE},
    "qwen-audio-3.1-tts-flash": {"prompt": "hello"},
    "voice-enrollment": {"audio_url": SOUND},
    "kling-v3-image-to-video": {"prompt": "waves"},
    "kling-custom-element": {
        "model_params": {
            "element_name": "me",
            "element_description": "my face",
            "reference_type": "image_refer",
            "element_image_list": {"frontal_image": PICTURE, "refer_images": [{"image_url": PICTURE}]},
        }
    },
}


def lawful(name: str) -> dict[str, Any]:
    """Make the shortest request that a model takes."""
    return {**least(schema_of(name)), **ALSO_NEEDED.get(name, {})}


def refusal(model: str, parameters: dict[str, Any]) -> InvalidInputError:
    """Return the error that refuses these parameters."""
    with pytest.raises(InvalidInputError) as refused:
        request.check(model, parameters)
    return refused.value


def sample(schema: dict[str, Any]) -> Any:
    """Make a value that fits, from the rules that stand in the documents."""
    if "oneOf" in schema:
        return sample(schema["oneOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "array":
        return [sample(schema["items"]) for _ in range(schema.get("minItems", 1))]
    if kind == "object":
        return least(schema)
    if kind == "string":
        text = "1024x1024" if "pixels" in schema else PICTURE if "format" in schema else "abc"
        return text.ljust(schema.get("minLength", 0), "x")
    return {"boolean": True, "integer": schema.get("minimum", 1), "number": schema.get("minimum", 1)}[kind]


def fitting(schema: dict[str, Any]) -> Iterator[Any]:
    """List values on the edge of what fits."""
    yield from (schema[key] for key in ("default", "minimum", "maximum") if key in schema)
    yield from schema.get("enum", ())
    if "maxLength" in schema and "format" not in schema:
        yield "x" * schema["maxLength"]
    if "items" in schema and "maxItems" in schema:
        yield [sample(schema["items"])] * schema["maxItems"]
    for branch in schema.get("oneOf", ()):
        yield from fitting(branch)


def unfitting(schema: dict[str, Any]) -> Iterator[Any]:
    """List values just over the edge, and of every wrong type."""
    kinds = {branch["type"] for branch in schema.get("oneOf", [schema])}
    of_kind = {"string": "no such value", "integer": 7, "number": 7.5, "boolean": True, "array": [], "object": {}}
    yield None
    yield from (v for kind, v in of_kind.items() if kind not in kinds and not (kind == "integer" and "number" in kinds))
    if "enum" in schema:
        yield "no such value" if "string" in kinds else max(schema["enum"]) + 1
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "maxItems" in schema:
        yield [sample(schema.get("items", {"type": "string"}))] * (schema["maxItems"] + 1)
    if schema.get("minItems"):
        yield []
    if schema.get("format") == "http-url":
        yield from ("example.com/a.png", "https://10.0.0.1/a.png", "data:image/png;base64,AAAA")


def places(schema: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """List every parameter of a schema with its path, nested ones too."""
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name), inner
        yield from places(inner, (*path, name))
    if "properties" in schema.get("items", {}):
        yield from places(schema["items"], (*path, 0))


def request_with(schema: dict[str, Any], path: Path, value: Any) -> Any:
    """Make a request that fits but for one value at this path."""
    if not path:
        return value
    if path[0] == 0:
        return [request_with(schema["items"], path[1:], value)]
    return {**least(schema), path[0]: request_with(schema["properties"][path[0]], path[1:], value)}


def dotted(path: Path) -> str:
    """Spell a path as errors do."""
    return ".".join(map(str, path)).replace(".0", "[0]")


def least(schema: dict[str, Any]) -> dict[str, Any]:
    """Make the shortest request that fits."""
    return {key: sample(schema["properties"][key]) for key in schema.get("required", ())}


def schema_of(name: str) -> dict[str, Any]:
    """Return a copy of a model's schema."""
    model = catalog.find(name)
    assert model is not None
    return copy.deepcopy(dict(model.schema))


@each_model
def test_documented_values_pass(name: str) -> None:
    """Every default, every enumerated value and both ends of every range of every parameter fit and are known."""
    schema = schema_of(name)
    for path, rules in places(schema):
        for value in fitting(rules):
            request = request_with(schema, path, value)
            check_schema(request, schema)
            assert list(undocumented(request, schema)) == []


@each_model
def test_every_model_takes_its_shortest_request(name: str) -> None:
    """What the documents require is enough, and warned of only for models that EvoLink no longer serves itself."""
    model = catalog.find(name)
    assert model is not None
    assert len(request.check(name, lawful(name))) == bool(model.replaced_by or model.served_as)


@each_model
def test_undocumented_values_are_refused(name: str) -> None:
    """A value of another type, out of its range or not enumerated is refused by its name, for every parameter."""
    schema = schema_of(name)
    for path, rules in places(schema):
        for value in unfitting(rules):
            named = refusal(name, request_with(schema, path, value)).parameter
            assert named == dotted(path) or named.startswith(dotted(path) + "["), (path, value)


@each_model
def test_required_parameters_are_required(name: str) -> None:
    """Without any one of its required parameters a model's request is refused."""
    schema = schema_of(name)
    for missing in schema.get("required", ()):
        parameters = {key: value for key, value in least(schema).items() if key != missing}
        error = refusal(name, parameters)
        assert error.parameter == missing
        assert "it is required" in error.allowed


@each_model
def test_every_model_takes_a_callback(name: str) -> None:
    """``callback_url`` is known for every model and checked for every model."""
    parameters = lawful(name)
    warnings = request.check(name, {**parameters, "callback_url": "https://example.com/hook"})
    assert not any("callback_url" in warning for warning in warnings)
    assert refusal(name, {**parameters, "callback_url": "https://10.0.0.1/hook"}).parameter == "callback_url"


@settings(max_examples=300)
@given(st.data())
def test_any_request_of_any_model_is_let_through_or_refused(data: st.DataObject) -> None:
    """A full request of any model in which anything has gone wrong is encoded, or refused in a few printable words."""
    name = data.draw(st.sampled_from(catalog.names()))
    full = {key: sample(rules) for key, rules in schema_of(name)["properties"].items()}
    parameters = data.draw(hostile.gone_wrong(full).filter(lambda value: isinstance(value, dict)))
    try:
        warnings = request.check(name, parameters)
        assert json.loads(request.encode_body({"model": name, **parameters}))["model"] == name
        assert all(map(len, warnings))
    except InvalidInputError as refused:
        assert len(str(refused).encode()) < 4000
