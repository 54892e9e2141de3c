# SPDX-License-Identifier: Apache-2.0
"""
Turns what DAGs hand over into what a model's parameters are.

A template renders numbers as text, or with ``render_template_as_native_obj`` text as numbers; a mapped task hands over
lazy sequences. What has the right type already is left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.json_values import MAX_DEPTH, MAX_INTEGER_BITS
from airflow_provider_evolink.api.schema import Schema, fits, in_words

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_NATIVE = "render_template_as_native_obj=True"
MADE_TEXT = f"; if a template made this text, its DAG needs {_NATIVE}"
A_RECORD = "; this is the record of a generation, whose links are in its 'results'"
_UNMADE_TEXT = f"; if a template made this, its DAG's {_NATIVE} has turned text into it"


def plain(value: Any, path: str, depth: int = 1) -> Any:
    """
    Make lists of all sequences but text, and dictionaries of all mappings, at every depth.

    :param value: anything; lazy sequences are read.
    :param path: its name in an error.
    :param depth: how deep inside the parameters it stands.
    :raises InvalidInputError: it is nested more than 32 deep, or holds itself.
    """
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Mapping | Sequence):
        return value
    if depth > MAX_DEPTH:
        raise InvalidInputError(path, type(value), f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {name: plain(inner, f"{path}.{name}", depth + 1) for name, inner in value.items()}
    return [plain(inner, f"{path}[{index}]", depth + 1) for index, inner in enumerate(value)]


def fit(value: Any, schema: Schema, path: str = "") -> Any:
    """
    Turn a value into what its schema asks for, where there is only one way to do so.

    Digits become numbers, ``true`` and ``false`` become booleans, and numbers and booleans become text, each only where
    the parameter is that. Ranges are not judged.

    :param value: JSON.
    :param schema: of the value; what it leaves open is left alone.
    :param path: its name in an error.
    :raises InvalidInputError: text, where text can't be meant, or a list or object in place of text; the error says
        how a template may have made it.
    """
    if "oneOf" in schema:
        return _fit_one_of(value, schema, path)
    return _FITS.get(schema.get("type", ""), _as_it_is)(value, schema, path)


def _fit_one_of(value: Any, schema: Schema, path: str) -> Any:
    branches: Sequence[Schema] = schema["oneOf"]
    if any(fits(value, branch) for branch in branches):
        return value
    tried = [(_attempt(value, branch, path), branch) for branch in branches]
    fitting = [made for made, branch in tried if fits(made, branch)]
    # A number out of range is refused as the number that is meant.
    numbers = [made for made, _ in tried if isinstance(value, str) and not isinstance(made, str)]
    if isinstance(value, str) and not fitting and not numbers and len(_types(branches)) > 1:
        raise InvalidInputError(path, value, f"it must be {in_words(schema)}{MADE_TEXT}")
    return [*fitting, *numbers, value][0]


def _types(branches: Sequence[Schema]) -> set[str]:
    return {branch["type"] for branch in branches}


def _attempt(value: Any, schema: Schema, path: str) -> Any:
    try:
        return fit(value, schema, path)
    except InvalidInputError:
        return value


def _as_it_is(value: Any, _schema: Schema, _path: str) -> Any:
    return value


def _text(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, list | dict) and "enum" not in schema:
        raise InvalidInputError(path, value, f"it must be {in_words(schema)}{_likely_cause(value)}")
    return str(value) if _is_printable(value) else value


def _is_printable(value: object) -> bool:
    """A cell that is missing in a table comes as NaN, and "nan" is nothing to pay for."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and value.bit_length() <= MAX_INTEGER_BITS


def _likely_cause(value: object) -> str:
    return A_RECORD if isinstance(value, dict) and "results" in value else _UNMADE_TEXT


def _integer(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    return _unless_text(value, schema, path)


def _number(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return int(value) if _INTEGER.fullmatch(value.strip()) else float(value)
    return _unless_text(value, schema, path)


def _boolean(value: Any, schema: Schema, path: str) -> Any:
    meant = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
    return _unless_text(value, schema, path) if meant is None else meant


def _list(value: Any, schema: Schema, path: str) -> Any:
    if not isinstance(value, list) or "items" not in schema:
        return _unless_text(value, schema, path)
    return [fit(inner, schema["items"], f"{path}[{index}]") for index, inner in enumerate(value)]


def _object(value: Any, schema: Schema, path: str) -> Any:
    if not isinstance(value, dict):
        return _unless_text(value, schema, path)
    known, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
    return {
        name: fit(inner, known.get(name, others), f"{path}.{name}".removeprefix(".")) for name, inner in value.items()
    }


def _unless_text(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, str):
        raise InvalidInputError(path, value, f"it must be {in_words(schema)}{MADE_TEXT}")
    return value


_FITS: Mapping[str, Callable[[Any, Schema, str], Any]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "array": _list,
    "object": _object,
}
