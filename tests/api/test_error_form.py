# SPDX-License-Identifier: Apache-2.0
"""Every input error reads "`name`=value is invalid: must be ..." and says what it cost."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import catalog, coercion, constraints, media, request
from airflow_provider_evolink.api.errors import InvalidInputError, LandingInputError, UnreadableInputError
from airflow_provider_evolink.api.schema import check_schema
from tests import hostile
from tests.api.documented_models import (
    breaches,
    each_model,
    minimal_request,
    model_of,
    nested,
    parameter_paths,
    request_with,
    sample,
    schema_of,
    unfitting,
)

FORM = re.compile(r"`([^`]+)`=(.+?) is invalid: must be (.+)\. This attempt sent nothing and cost nothing\.", re.DOTALL)
# What may follow "must be": a noun, a participle, an adjective, or a value itself.
COMPLETES = re.compile(
    r"(an?|the|text|anything|given|left out|accompanied by|chosen so|nested|spelled|non-blank|valid|equal to|in|at most"
    r"|true|'[^']*'|-?[0-9.]+)(?![a-z])"
)
IMAGE_TO_VIDEO = "gemini-omni-flash-image-to-video"
HUGE, DEEP = "x" * 100_000, [[[[]]]]
for _ in range(40):
    DEEP = [DEEP]


def assert_form(error: InvalidInputError) -> None:
    """Assert that an error has the form that the class promises."""
    text = str(error)
    found = FORM.fullmatch(text)
    assert found, text
    assert found[1] == error.parameter, text
    assert len(found[2]) <= 500, text
    assert text.startswith(error.refusal), text
    assert error.refusal.endswith(f" is invalid: must be {error.allowed}."), text
    assert COMPLETES.match(error.allowed), text
    assert "must be" not in error.allowed, text
    assert not re.search(r"\bit must\b|\.$|…|\bNone\b", error.allowed), text


def error_of(check: Any, *args: Any, **kwargs: Any) -> InvalidInputError:
    """Return the input error that a check raises."""
    with pytest.raises(InvalidInputError) as raised:
        check(*args, **kwargs)
    return raised.value


@each_model
def test_every_mistake_in_a_parameter_has_the_form(name: str) -> None:
    """A value of the wrong type, out of range, malformed, unknown or missing is reported in the one form."""
    schema = schema_of(name)
    for path, rules in parameter_paths(schema):
        for value in unfitting(rules):
            assert_form(error_of(check_schema, request_with(schema, path, value), schema))
    for required in schema.get("required", ()):
        without = {key: value for key, value in minimal_request(name).items() if key != required}
        assert_form(error_of(request.check, name, without))
    if schema.get("additionalProperties") is False:
        assert_form(error_of(check_schema, {**minimal_request(name), "no_such_parameter": HUGE}, schema))


@each_model
def test_every_mistake_of_a_template_has_the_form(name: str) -> None:
    """Text, lists and objects where a template should have rendered something else are reported in the one form."""
    schema = {"type": "object", **schema_of(name)}
    for path, _ in parameter_paths(schema):
        for value in ("no such value", HUGE, [HUGE], {"results": [HUGE]}):
            try:
                coercion.fit(request_with(schema, path, value), schema)
            except InvalidInputError as error:
                assert_form(error)
                assert error.parameter


@each_model
def test_every_breach_of_a_rule_has_the_form(name: str) -> None:
    """A breach of any rule between parameters is reported in the one form, or warned of in words that fit it."""
    model = model_of(name)
    for rule in model.rules:
        for parameters in breaches(rule):
            broken = nested(parameters)
            if rule.get("is_advice"):
                warnings = constraints.check_rules(broken, [rule], model.schema)
                assert warnings
                assert all(re.match(r"`[^`]+` should be \S", warning) for warning in warnings)
            else:
                assert_form(error_of(constraints.check_rules, broken, [rule], model.schema))


def test_no_kind_of_rule_is_left_out() -> None:
    """The catalog has an example of every kind of rule that the provider checks."""
    assert {rule["rule"] for name in catalog.names() for rule in model_of(name).rules} == set(constraints._RULES)


def wrong_requests() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield requests with a mistake that has nothing to do with their model."""
    good = minimal_request(IMAGE_TO_VIDEO)
    yield from ((model, good) for model in (None, "", 5, IMAGE_TO_VIDEO.upper()))
    yield IMAGE_TO_VIDEO, {**good, "model": HUGE}
    for value in (math.nan, math.inf, 2**64, {1}, b"x", "\ud800", {1: 2}, {"\ud800": 1}, DEEP):
        yield IMAGE_TO_VIDEO, {**good, "seed": value}
    yield IMAGE_TO_VIDEO, {**good, 5: 1}  # type: ignore[dict-item]
    for url in (None, "", HUGE, "https://a b/", "https://[", "http://a.com", "https://u:p@a.com", "https://a.com:0/"):
        yield IMAGE_TO_VIDEO, {**good, "callback_url": url}
    for host in ("10.0.0.1", "0x7f.1", "010.8.8.8", "a..b", "x" * 300 + ".com", "localhost", "nas.local"):
        yield IMAGE_TO_VIDEO, {**good, "callback_url": f"https://{host}/"}


@pytest.mark.parametrize(("model", "parameters"), list(wrong_requests()))
def test_every_mistake_in_a_request_has_the_form(model: Any, parameters: dict[str, Any]) -> None:
    """A wrong model, a value that is not JSON and a wrong callback URL are reported in the one form."""
    assert_form(error_of(request.check, model, parameters))


def test_every_other_mistake_has_the_form() -> None:
    """A body that is too large, endless nesting, and a model without a known endpoint are reported in the one form."""
    endless: list[Any] = []
    endless.append(endless)
    assert_form(error_of(request.encode_body, {"prompt": "x" * request.MAX_BODY_BYTES}))
    assert_form(error_of(request.prepare, "zzz", {"seed": endless}))
    assert_form(error_of(catalog.endpoint_for, "zzz"))
    assert_form(error_of(catalog.endpoint_for, "zzz" * 1000, HUGE))
    assert_form(error_of(catalog.endpoint_for, "suno-v5-beta", "film"))
    assert_form(error_of(catalog.endpoint_for, "gemini-omni-flash-image2video"))


IMAGES = {
    "None": None,
    "blank": "",
    "number": 5,
    "private link": "http://10.0.0.1/a.png",
    "empty data URL": "data:,",
    "data URL of another kind": "data:image/png;base64,R0lGODlh",
    "data URL without base64": "data:image/png;base64,!",
    "junk": HUGE,
    "too large": "A" * (2 * media.MAX_IMAGE_BYTES + 1),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_every_mistake_in_an_image_has_the_form(kind: str) -> None:
    """Whatever is not an image for EvoLink is reported in the one form."""
    assert_form(error_of(media.image_reference, IMAGES[kind], lambda _: b"GIF89a"))


def test_images_behind_a_path_have_the_form() -> None:
    """A file that is no image, is too large or can't be read is reported in the one form."""

    def unreadable(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", path)

    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(media.MAX_IMAGE_BYTES)
    assert_form(error_of(media.image_reference, "a.png", lambda _: b"GIF89a"))
    assert_form(error_of(media.image_reference, "a.png", lambda _: png))
    error = error_of(media.image_reference, "a.png", unreadable)
    assert isinstance(error, UnreadableInputError)
    assert_form(error)


def test_a_landing_error_has_the_form_but_never_claims_that_nothing_was_charged() -> None:
    """An input error of a landing has the same form and its own cost, since the generation may be paid for."""
    error = LandingInputError("destination", HUGE, "an absolute path")

    assert str(error).startswith("`destination`='xxx")
    assert str(error) == f"{error.refusal} {LandingInputError.consequence}"
    assert "nothing was charged" not in str(error).lower()


@settings(max_examples=300, deadline=2000)
@given(st.data())
def test_any_mistakes_at_once_have_the_form(data: st.DataObject) -> None:
    """Whatever goes wrong in a full request of any model, its error has the one form."""
    name = data.draw(st.sampled_from(catalog.names()))
    full = {key: sample(rules) for key, rules in schema_of(name)["properties"].items()}
    parameters = data.draw(hostile.corrupted(full).filter(lambda value: isinstance(value, dict)))
    try:
        request.prepare(name, parameters)
    except InvalidInputError as error:
        assert error.refusal.endswith(f" is invalid: must be {error.allowed}.")
        assert error.refusal.startswith(f"`{error.parameter}`=")
        assert COMPLETES.match(error.allowed), error.allowed
