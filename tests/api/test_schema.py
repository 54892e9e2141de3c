# SPDX-License-Identifier: Apache-2.0
"""Parameters are checked against a schema, and what it allows is put into words."""

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
        ({"type": "string", "maxLength": 80}, "text of at most 80 characters"),
        ({"type": "string", "pattern": r"\S"}, "non-blank text"),
        ({"type": "string", "pattern": r"\S", "minLength": 1, "maxLength": 1}, "non-blank text of exactly 1 character"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "text matching ^[0-9]+$"),
        ({"type": "string", "format": "http-url"}, "a public http or https URL"),
        ({"type": "string", "enum": ["on"]}, "'on'"),
        ({"type": "string", "enum": ["a", "b", "c"]}, "'a', 'b' or 'c'"),
        ({"type": "integer", "enum": [6, 10]}, "6 or 10"),
        ({"type": "array"}, "a list"),
        ({"type": "array", "minItems": 1, "maxItems": 1}, "a list of exactly 1 item"),
        (
            {"type": "array", "maxItems": 4, "items": {"type": "integer"}},
            "a list of at most 4 items, each an integer",
        ),
        (
            {"type": "array", "minItems": 0, "maxItems": 1, "items": {"type": "integer"}},
            "a list of at most 1 item: an integer",
        ),
        ({"type": "array", "items": {"type": "integer"}}, "a list of items, each an integer"),
        ({"type": "object"}, "an object"),
        ({"type": "object", "required": ["a", "b"]}, "an object with `a` and `b`"),
    ],
)
def test_in_words(schema: dict[str, Any], words: str) -> None:
    """Every kind of constraint is put into words that complete "must be"."""
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
        ({}, "duration", "given, as an integer from 3 to 10, or 'auto'"),
        ({"duration": 3.0}, "duration", "an integer from 3 to 10, or 'auto'"),
        ({"duration": 3, "image_urls": "x"}, "image_urls", "a list of items, each a public http or https URL"),
        (
            {"duration": 3, "image_urls": ["https://a.com/", "x"]},
            "image_urls[1]",
            "a public http or https URL",
        ),
        ({"duration": 3, "image_urls": [None]}, "image_urls[0]", "a public http or https URL"),
        ({"duration": 3, "shots": [{"index": 1}, {}]}, "shots[1].index", "given, as an integer"),
        ({"duration": 3, "extra": {"n": 5}}, "extra.n", "an integer of at most 4"),
        ({"duration": 3, "extra": {"n": True}}, "extra.n", "an integer of at most 4"),
    ],
)
def test_errors_name_the_parameter_and_what_is_allowed(
    parameters: dict[str, Any], parameter: str, allowed: str
) -> None:
    """An error names the parameter by its dotted path and says what it allows."""
    with pytest.raises(InvalidInputError) as raised:
        check_schema(parameters, SCHEMA)
    assert raised.value.parameter == parameter
    assert raised.value.allowed.startswith(allowed)


def test_tuples_are_lists() -> None:
    """Tuples count as lists, which JSON makes of them."""
    check_schema({"duration": "auto", "image_urls": ("https://a.com/",), "shots": ({"index": 1},)}, SCHEMA)


def test_undocumented_names_are_found_at_every_depth() -> None:
    """A name that the schema does not list is reported by its dotted path; one in an open object is not."""
    value = {"duration": 3, "new": 1, "extra": {"n": 1, "m": 2, "any": {"thing": 1}}, "shots": [{"index": 1, "x": 2}]}
    assert [found.path for found in undocumented(value, SCHEMA)] == ["new", "extra.m", "shots[0].x"]
