# SPDX-License-Identifier: Apache-2.0
"""Coerce what DAGs pass into the types that a model's parameters have.

A template renders numbers as text or, with ``render_template_as_native_obj``, text as numbers; a mapped task passes
lazy sequences. Values that already have the right type are left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.json_values import ALLOWED_DEPTH, MAX_DEPTH, MAX_INTEGER_BITS
from airflow_provider_evolink.api.schema import Schema, fits, in_words

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
# A table has 3.0 for 3 in a column with gaps.
_WHOLE = re.compile(r"([+-]?[0-9]{1,20})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
# From here on, a float may stand for several integers.
_LARGEST_EXACT = 2**53
_BOOLEANS = {"true": True, "false": False}
_NATIVE = "render_template_as_native_obj=True"
# Hints that an error appends to what is allowed.
RENDERED_TEXT_HINT = f"; if a template rendered this text, its DAG needs {_NATIVE}"
RECORD_HINT = "; this is the record of a generation, whose links are in its 'results'"
_CONVERTED_TEXT_HINT = f"; if a template rendered this, its DAG's {_NATIVE} has converted it from text"


def plain(value: Any, path: str, depth: int = 1) -> Any:
    """Turn all sequences but text into lists and all mappings into dictionaries, at every depth.

    :param value: anything; lazy sequences are read.
    :param path: name of the value in an error.
    :param depth: nesting depth of the value within the parameters.
    :raises InvalidInputError: it is nested more than 32 levels deep, or contains itself.
    """
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Mapping | Sequence):
        return value
    if depth > MAX_DEPTH:
        raise InvalidInputError(path, type(value), ALLOWED_DEPTH)
    if isinstance(value, Mapping):
        return {name: plain(inner, f"{path}.{name}", depth + 1) for name, inner in value.items()}
    return [plain(inner, f"{path}[{index}]", depth + 1) for index, inner in enumerate(value)]


def fit(value: Any, schema: Schema, path: str = "") -> Any:
    """Coerce a value to its schema's type, where there is only one way to do so.

    Digits become numbers, whole numbers such as 3.0 integers, ``true`` and ``false`` booleans, and numbers and booleans
    text, each only where the parameter has that type. Ranges are not checked.

    :param value: JSON.
    :param schema: schema of the value; what it leaves open is left alone.
    :param path: name of the value in an error.
    :raises InvalidInputError: text that can't be coerced, or a list or object where text belongs; the error says how
        a template may have produced it.
    """
    if "oneOf" in schema:
        return _fit_one_of(value, schema, path)
    return _FITS.get(schema.get("type", ""), _unchanged)(value, schema, path)


def _fit_one_of(value: Any, schema: Schema, path: str) -> Any:
    branches: Sequence[Schema] = schema["oneOf"]
    if any(fits(value, branch) for branch in branches):
        return value
    coerced = [(_fit_or_keep(value, branch, path), branch) for branch in branches]
    fitting = [candidate for candidate, branch in coerced if fits(candidate, branch)]
    # A number that is out of range is rejected as a number, not as the text it came as.
    numbers = [candidate for candidate, _ in coerced if isinstance(value, str) and not isinstance(candidate, str)]
    if isinstance(value, str) and not fitting and not numbers and len(_types(branches)) > 1:
        raise InvalidInputError(path, value, f"{in_words(schema)}{RENDERED_TEXT_HINT}")
    return [*fitting, *numbers, value][0]


def _types(branches: Sequence[Schema]) -> set[str]:
    return {branch["type"] for branch in branches}


def _fit_or_keep(value: Any, schema: Schema, path: str) -> Any:
    try:
        return fit(value, schema, path)
    except InvalidInputError:
        return value


def _unchanged(value: Any, _schema: Schema, _path: str) -> Any:
    return value


def _text(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, list | dict) and "enum" not in schema:
        raise InvalidInputError(path, value, f"{in_words(schema)}{_likely_cause(value)}")
    if not _is_printable(value):
        return value
    whole = str(_whole(value))
    return whole if whole in schema.get("enum", ()) else str(value)


def _is_printable(value: object) -> bool:
    """Return whether to send a value as text: a missing cell of a table is NaN, and nobody wants to pay for "nan"."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and value.bit_length() <= MAX_INTEGER_BITS


def _likely_cause(value: object) -> str:
    return RECORD_HINT if isinstance(value, dict) and "results" in value else _CONVERTED_TEXT_HINT


def _integer(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value.strip())):
        return int(match[1])
    return _unless_text(_whole(value), schema, path)


def _whole(value: Any) -> Any:
    """Return the integer that a float stands for, if it is whole and exact; otherwise the value."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT
    return int(value) if is_whole else value


def _number(value: Any, schema: Schema, path: str) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return int(value) if _INTEGER.fullmatch(value.strip()) else float(value)
    return _unless_text(value, schema, path)


def _boolean(value: Any, schema: Schema, path: str) -> Any:
    boolean = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
    return _unless_text(value, schema, path) if boolean is None else boolean


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
        raise InvalidInputError(path, value, f"{in_words(schema)}{RENDERED_TEXT_HINT}")
    return value


_FITS: Mapping[str, Callable[[Any, Schema, str], Any]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "array": _list,
    "object": _object,
}
