# SPDX-License-Identifier: Apache-2.0
"""Checking against a schema, and saying in words what it allows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import check_schema, in_words, undocumented

AUTO_OR_SECONDS = {"oneOf": [{"type": "integer", "minimum": 3, "maximum": 10}, {"type": "string", "enum": ["auto"]}]}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (AUTO_OR_SECONDS, "an integer from 3 to 10, or 'auto'"),
        ({"type": "integer"}, "an integer"),
        ({"type": "integer", "minimum": 0}, "an integer of at least 0"),
        ({"type": "number", "maximum": 1.5}, "a number of at most 1.5"),
        ({"type": "integer", "minimum": -1, "maximum": -1}, "an integer of exactly -1"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 80}, "text with a length of at most 80"),
        ({"type": "string", "pattern": r"\S"}, "text that is not blank"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "text of the form ^[0-9]+$"),
        ({"type": "string", "format": "http-url"}, "a public http or https URL"),
        ({"type": "string", "enum": ["on"]}, "'on'"),
        ({"type": "string", "enum": ["a", "b", "c"]}, "'a', 'b' or 'c'"),
        ({"type": "integer", "enum": [6, 10]}, "6 or 10"),
        ({"type": "array"}, "a list"),
        ({"type": "array", "minItems": 1, "maxItems": 1}, "a list with a length of exactly 1"),
        (
            {"type": "array", "maxItems": 4, "items": {"type": "integer"}},
            "a list with a length of at most 4, each entry an integer",
        ),
        ({"type": "object"}, "an object"),
        ({"type": "object", "required": ["a", "b"]}, "an object with a, b"),
    ],
)
def test_in_words(schema: dict[str, Any], words: str) -> None:
    """Every kind of rule is told in plain words."""
    assert in_words(schema) == words


SCHEMA: dict[str, Any] = {
    "properties": {
        "duration": AUTO_OR_SECONDS,
        "image_urls": {"type": "array", "items": {"type": "string", "format": "http-url"}},
        "shots": {
            "type": "array",
            "items": {"type": "object", "required": ["index"], "properties": {"index": {"type": "integer"}}},
        },
        "extra": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 4}, "any": {"type": "object"}}},
    },
    "required": ["duration"],
}


@pytest.mark.parametrize(
    ("parameters", "parameter", "allowed"),
    [
        ({}, "duration", "it is required, and must be an integer from 3 to 10, or 'auto'"),
        ({"duration": 3.0}, "duration", "it must be an integer from 3 to 10, or 'auto'"),
        ({"duration": 3, "image_urls": "x"}, "image_urls", "it must be a list, each entry a public http or https URL"),
        (
            {"duration": 3, "image_urls": ["https://a.com/", "x"]},
            "image_urls[1]",
            "it must be a public http or https URL",
        ),
        ({"duration": 3, "image_urls": [None]}, "image_urls[0]", "it must be a public http or https URL"),
        ({"duration": 3, "shots": [{"index": 1}, {}]}, "shots[1].index", "it is required, and must be an integer"),
        ({"duration": 3, "extra": {"n": 5}}, "extra.n", "it must be an integer of at most 4"),
        ({"duration": 3, "extra": {"n": True}}, "extra.n", "it must be an integer of at most 4"),
    ],
)
def test_errors_name_the_parameter_and_what_is_allowed(
    parameters: dict[str, Any], parameter: str, allowed: str
) -> None:
    """A refusal names the parameter by its dotted path and says what it takes."""
    with pytest.raises(InvalidInputError) as refused:
        check_schema(parameters, SCHEMA)
    assert refused.value.parameter == parameter
    assert refused.value.allowed.startswith(allowed)


def test_tuples_are_lists() -> None:
    """JSON has no tuples, and makes lists of them."""
    check_schema({"duration": "auto", "image_urls": ("https://a.com/",), "shots": ({"index": 1},)}, SCHEMA)


def test_undocumented_names_are_found_at_every_depth() -> None:
    """What a schema does not list is named by its dotted path; what it leaves open is not."""
    value = {"duration": 3, "new": 1, "extra": {"n": 1, "m": 2, "any": {"thing": 1}}, "shots": [{"index": 1, "x": 2}]}
    assert list(undocumented(value, SCHEMA)) == ["new", "extra.m", "shots[0].x"]
