# SPDX-License-Identifier: Apache-2.0
"""Requests of every documented model, made from the catalog: minimal ones, and ones with one or several mistakes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError

Path = tuple[str | int, ...]
Parameters = dict[str, Any]
Rule = Mapping[str, Any]
each_model = pytest.mark.parametrize("name", catalog.names())

AUDIO_LINK, IMAGE_LINK = "https://example.com/a.mp3", "https://example.com/a.png"
# What the rules between parameters require besides what is always required.
ALSO_REQUIRED: dict[str, Parameters] = {
    **{name: {"prompt": "a song"} for name in catalog.names() if name.startswith("suno-v")},
    **{
        name: {"image_urls": [IMAGE_LINK]}
        for name in catalog.names()
        if "-reference-" in name and not name.startswith("wan2.6")
    },
    "MiniMax-Hailuo-02": {"prompt": "waves"},
    "minimax-h3-image-to-video": {"image_start": IMAGE_LINK},
    "qwen-audio-3.1-tts-flash": {"prompt": "hello"},
    "voice-enrollment": {"audio_url": AUDIO_LINK},
    "kling-v3-image-to-video": {"prompt": "waves"},
    "kling-custom-element": {
        "model_params": {
            "element_name": "me",
            "element_description": "my face",
            "reference_type": "image_refer",
            "element_image_list": {"frontal_image": IMAGE_LINK, "refer_images": [{"image_url": IMAGE_LINK}]},
        }
    },
}


def minimal_request(name: str) -> Parameters:
    """Return the smallest request that a model accepts."""
    return {**required_only(schema_of(name)), **ALSO_REQUIRED.get(name, {})}


def required_only(schema: Parameters) -> Parameters:
    """Return the smallest object that fits a schema."""
    return {key: sample(schema["properties"][key]) for key in schema.get("required", ())}


def schema_of(name: str) -> Parameters:
    """Return a copy of a model's schema."""
    return copy.deepcopy(dict(model_of(name).schema))


def model_of(name: str) -> catalog.Model:
    """Return a documented model."""
    model = catalog.find(name)
    assert model is not None
    return model


def refusal(model: str, parameters: Parameters) -> InvalidInputError:
    """Return the error that rejects these parameters."""
    with pytest.raises(InvalidInputError) as raised:
        request.check(model, parameters)
    return raised.value


def sample(schema: Parameters) -> Any:
    """Return a value that fits a schema."""
    if "oneOf" in schema:
        return sample(schema["oneOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "array":
        return [sample(schema["items"]) for _ in range(schema.get("minItems", 1))]
    if kind == "object":
        return required_only(schema)
    if kind == "string":
        text = "1024x1024" if "pixels" in schema else IMAGE_LINK if "format" in schema else "abc"
        return text.ljust(schema.get("minLength", 0), "x")
    return {"boolean": True, "integer": schema.get("minimum", 1), "number": schema.get("minimum", 1)}[kind]


def fitting(schema: Parameters) -> Iterator[Any]:
    """Yield values at the edges of what fits a schema."""
    yield from (schema[key] for key in ("default", "minimum", "maximum") if key in schema)
    yield from schema.get("enum", ())
    if "maxLength" in schema and "format" not in schema:
        yield "x" * schema["maxLength"]
    if "items" in schema and "maxItems" in schema:
        yield [sample(schema["items"])] * schema["maxItems"]
    for branch in schema.get("oneOf", ()):
        yield from fitting(branch)


def unfitting(schema: Parameters) -> Iterator[Any]:
    """Yield values just over the edge, and of every wrong type."""
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


def parameter_paths(schema: Parameters, path: Path = ()) -> Iterator[tuple[Path, Parameters]]:
    """Yield every parameter of a schema as its path and its own schema, nested ones included."""
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name), inner
        yield from parameter_paths(inner, (*path, name))
    if "properties" in schema.get("items", {}):
        yield from parameter_paths(schema["items"], (*path, 0))


def request_with(schema: Parameters, path: Path, value: Any) -> Any:
    """Return the smallest request that fits a schema, except for the value at this path."""
    if not path:
        return value
    if path[0] == 0:
        return [request_with(schema["items"], path[1:], value)]
    return {**required_only(schema), path[0]: request_with(schema["properties"][path[0]], path[1:], value)}


def dotted(path: Path) -> str:
    """Spell a path as errors do."""
    return ".".join(map(str, path)).replace(".0", "[0]")


def breaches(rule: Rule) -> list[Parameters]:
    """Return parameters, by dotted names, each of which breaks a rule between parameters."""
    names, met, limit = [*rule.get("params", ())], meeting(rule.get("if", {})), rule.get("max", 0)
    each, all_of_them = [{name: "x"} for name in names], dict.fromkeys(names, "x")
    first, second = [*names, "", ""][:2]
    examples: dict[str, list[Parameters]] = {
        "one_of": [{}],
        "exactly_one": [{}, all_of_them],
        "excludes": [all_of_them],
        "excludes_values": [rule.get("values", {})],
        "needs": each,
        "needs_any": each,
        "unsupported": each,
        "together": each,
        "required_if": [met],
        "only_if": [{**missing(rule.get("if", {})), **given} for given in each],
        "values_if": [{**met, **given} for given in each],
        "count_if": [{**met, first: ["x"] * (limit + 1)}],
        "max_length_if": [{**met, first: "x" * (limit + 1)}],
        "max_weight": [{**met, first: "x" * (limit + 1)}],
        "max_total": [{**met, first: ["x"] * limit, second: more} for more in (2, ["x", "x"])],
        "difference": [{first: difference, second: 0} for difference in (rule.get("min", 0) - 1, limit + 1)],
        "equal_if_both": [{first: "a", second: "b"}],
        "sum": [{first: [{rule.get("of"): "1"}], rule.get("equals", ""): 9}],
    }
    return examples[rule["rule"]]


def meeting(condition: Rule) -> Parameters:
    """Return parameters, by dotted names, that meet a rule's condition."""
    return {path: _expected(part) for path, part in condition.items() if _expected(part) is not None}


def missing(condition: Rule) -> Parameters:
    """Return parameters, by dotted names, that don't meet a rule's condition."""
    return {
        path: "x" if isinstance(part, Mapping) and not part.get("max") else None for path, part in condition.items()
    }


def _expected(part: Any) -> Any:
    if isinstance(part, Mapping):
        return ["x"] * part.get("min", 0) or None
    return part[0] if isinstance(part, list) else part


def nested(parameters: Parameters) -> Parameters:
    """Turn parameters by dotted names into nested ones."""
    result: Parameters = {}
    for path, value in parameters.items():
        *parents, name = path.split(".")
        inner = result
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return result
