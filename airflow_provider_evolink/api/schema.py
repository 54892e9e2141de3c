# SPDX-License-Identifier: Apache-2.0
"""Check parameters against a model's JSON schema, and put into words what it allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_evolink.api.addresses import check_public_url, without_secrets
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.media import inline_image, looks_like_url
from airflow_provider_evolink.api.pending_media import is_placeholder
from airflow_provider_evolink.api.pixels import has_pixels, pixels_in_words

if TYPE_CHECKING:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

Schema = Mapping[str, Any]

LINKS_ONLY = (
    "a public http or https URL: this model takes links only, "
    "so upload the file first (EvoLinkHook.upload) and pass the link that it returns"
)
# What becomes a link: see the package `media`.
_ANY_FORM = "a link, a path, a storage URI, data or the record of a generation"


def check_schema(parameters: Mapping[str, Any], schema: Schema, *, allow_loopback: bool = False) -> None:
    """Reject the first parameter that its schema rules out.

    :param parameters: JSON values; tuples count as lists.
    :param schema: an object's schema; its formats are those of the catalog's models.
    :param allow_loopback: accept links to this machine, which an API on this machine can follow.
    :raises InvalidInputError: names the parameter (``model_params.seed``, ``image_urls[0]``) and what it allows.
    """
    error = next(_validator(schema, allow_loopback).iter_errors(parameters), None)
    if error is not None:
        _reject(error, allow_loopback)


@dataclass(frozen=True, slots=True)
class Undocumented:
    """A value that its schema does not list.

    :param path: its dotted name, such as ``model_params.sed``.
    :param name: the last part of it.
    :param beside: the object that holds it.
    :param documented: the names that the schema of that object lists.
    """

    path: str
    name: str
    beside: Mapping[str, Any]
    documented: tuple[str, ...]


def undocumented(value: object, schema: Schema, path: str = "") -> Iterator[Undocumented]:
    """Yield whatever a value contains, at any depth, that its schema does not list."""
    if isinstance(value, dict) and "properties" in schema:
        documented = tuple(schema["properties"])
        for name, inner in value.items():
            here = f"{path}.{name}" if path else name
            if name in documented:
                yield from undocumented(inner, schema["properties"][name], here)
            else:
                yield Undocumented(here, name, value, documented)
    elif isinstance(value, list | tuple) and "items" in schema:
        for index, inner in enumerate(value):
            yield from undocumented(inner, schema["items"], f"{path}[{index}]")


def fits(value: Any, schema: Schema) -> bool:
    """Return whether a value fits its schema; links are not checked."""
    return _validator_class()(schema).is_valid(value)


def in_words(schema: Schema) -> str:
    """Describe what a schema allows, worded to complete "must be ...": "an integer from 3 to 10, or 'auto'"."""
    if "oneOf" in schema:
        return ", or ".join(map(in_words, schema["oneOf"]))
    if "enum" in schema:
        return listed(list(map(repr, schema["enum"])), "or")
    if "pixels" in schema:
        return pixels_in_words(schema["pixels"])
    if "format" in schema:
        return _FORMATS[schema["format"]][1]
    return _TYPES[schema["type"]](schema)


def listed(texts: Sequence[str], conjunction: str) -> str:
    """Join texts into an English list: "a, b or c"."""
    *others, last = texts
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _number(schema: Schema) -> str:
    noun = "an integer" if schema["type"] == "integer" else "a number"
    return noun + _range(schema.get("minimum"), schema.get("maximum"), between=" from ")


def _text(schema: Schema) -> str:
    pattern = schema.get("pattern")
    noun = "non-blank text" if pattern == r"\S" else "text"
    form = "" if pattern in (None, r"\S") else f" matching {pattern}"
    return noun + _count(schema.get("minLength"), schema.get("maxLength"), "character") + form


def _list(schema: Schema) -> str:
    most = schema.get("maxItems")
    count = _count(schema.get("minItems"), most, "item")
    if "items" not in schema:
        return f"a list{count}"
    each = in_words(schema["items"])
    return f"a list{count}: {each}" if most == 1 else f"a list{count or ' of items'}, each {each}"


def _object(schema: Schema) -> str:
    names = [f"`{name}`" for name in schema.get("required", ())]
    return f"an object with {listed(names, 'and')}" if names else "an object"


def _range(low: float | None, high: float | None, between: str = " of ") -> str:
    if low is None:
        return "" if high is None else f" of at most {high}"
    if high is None:
        return f" of at least {low}"
    return f" of exactly {low}" if low == high else f"{between}{low} to {high}"


def _count(low: int | None, high: int | None, unit: str) -> str:
    limits = _range(low or None, high)
    is_plural = (low if high is None else high) != 1
    return f"{limits} {unit}{'s' if is_plural else ''}" if limits else ""


def _check_http_url(value: object, parameter: str, allow_loopback: bool) -> None:
    check_public_url(value, parameter=parameter, schemes=("http", "https"), allow_loopback=allow_loopback)


def _check_media_link(value: object, parameter: str, allow_loopback: bool) -> None:
    if isinstance(value, str) and is_placeholder(value):
        return
    if isinstance(value, str) and not looks_like_url(value):
        raise InvalidInputError(parameter, without_secrets(value), LINKS_ONLY)
    _check_http_url(value, parameter, allow_loopback)


def _check_url_or_data_url(value: object, parameter: str, allow_loopback: bool) -> None:
    text = value.strip() if isinstance(value, str) else ""
    if text and not (looks_like_url(text) or is_placeholder(text) or text[:5].lower() == "data:"):
        raise InvalidInputError(parameter, without_secrets(value), _FORMATS["url-or-data-url"][1])
    _check_image(value, parameter, allow_loopback)


def _check_image(value: object, parameter: str, allow_loopback: bool) -> None:
    if isinstance(value, str) and is_placeholder(value):
        return
    if inline_image(value, parameter, allow_loopback=allow_loopback) is None:
        raise InvalidInputError(parameter, value, f"{_FORMATS['image'][1]}; upload a file first (EvoLinkHook.upload)")


_TYPES: dict[str, Callable[[Schema], str]] = {
    "integer": _number,
    "number": _number,
    "string": _text,
    "array": _list,
    "object": _object,
    "boolean": lambda _: "true or false",
}
_FORMATS: dict[str, tuple[Callable[[object, str, bool], None], str]] = {
    "http-url": (_check_http_url, "a public http or https URL"),
    "image-link": (_check_media_link, f"an image: {_ANY_FORM}"),
    "video-link": (_check_media_link, f"a video: {_ANY_FORM}"),
    "audio-link": (_check_media_link, f"an audio file: {_ANY_FORM}"),
    "url-or-data-url": (
        _check_url_or_data_url,
        "a png, jpeg or webp image as a public http or https URL or a data URL",
    ),
    "image": (_check_image, "a png, jpeg or webp image as a public http or https URL, a data URL or base64"),
}


def _reject(error: ValidationError, allow_loopback: bool) -> None:
    parameter = _dotted(error.absolute_path)
    schema = cast("Schema", error.schema)
    if error.validator == "format":
        _FORMATS[schema["format"]][0](error.instance, parameter, allow_loopback)
    if error.validator == "additionalProperties":
        _reject_unknown(cast("Schema", error.instance), schema, error.absolute_path)
    if error.validator == "required":
        name = next(name for name in schema["required"] if name not in cast("Schema", error.instance))
        allowed = in_words(schema["properties"][name])
        raise InvalidInputError(_dotted([*error.absolute_path, name]), None, f"given, as {allowed}")
    raise InvalidInputError(parameter, error.instance, in_words(schema))


def _reject_unknown(given: Schema, schema: Schema, path: Iterable[str | int]) -> None:
    name = next(name for name in given if name not in schema["properties"])
    known = ", ".join(f"`{known}`" for known in schema["properties"])
    raise InvalidInputError(_dotted([*path, name]), given[name], f"left out: this model takes only {known}")


def _dotted(path: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _validator(schema: Schema, allow_loopback: bool) -> Validator:
    return _validator_class()(schema, format_checker=_format_checker(allow_loopback))


@cache
def _format_checker(allow_loopback: bool) -> FormatChecker:
    import jsonschema

    formats = jsonschema.FormatChecker(formats=())
    for name, (check, _) in _FORMATS.items():
        formats.checks(name, raises=InvalidInputError)(
            lambda value, check=check: check(value, "", allow_loopback) is None
        )
    return formats


def _pixels(_validator: Validator, limits: Schema, value: object, _schema: Schema) -> Iterator[ValidationError]:
    import jsonschema

    if isinstance(value, str) and not has_pixels(value, limits):
        yield jsonschema.ValidationError("pixels")


@cache
def _validator_class() -> type[Validator]:
    import jsonschema

    base = jsonschema.Draft202012Validator
    types = base.TYPE_CHECKER.redefine_many(
        {
            # To JSON Schema 3.0 is an integer; to EvoLink's server it may not be.
            "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
            "array": lambda _, value: isinstance(value, list | tuple),
        }
    )
    extended = jsonschema.validators.extend(base, {"pixels": _pixels}, type_checker=types)  # type: ignore[no-untyped-call]
    return cast("type[Validator]", extended)
