# SPDX-License-Identifier: Apache-2.0
"""Check that values can be encoded as JSON, so that an error can name the parameter. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError

# How deeply values may be nested, and how large an integer may be: what every JSON parser accepts.
MAX_DEPTH = 32
MAX_INTEGER_BITS = 64

ALLOWED_DEPTH = f"nested at most {MAX_DEPTH} levels deep"


def check_json(parameters: Mapping[str, Any]) -> None:
    """Reject what JSON can't represent, before it is encoded.

    :param parameters: values by name.
    :raises InvalidInputError: names the parameter, down to the place inside it.
    """
    for name, value in parameters.items():
        allowed = _allowed_instead({name: None})
        if allowed is not None:
            raise InvalidInputError("parameters", type(name), allowed)
        _check_value(value, name, depth=1)


def check_finite(value: object, path: str, depth: int = 0) -> None:
    """Reject NaN and infinity, which Airflow can't store either; other values are left alone, however they are nested.

    :raises InvalidInputError: names the place by its path.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(path, value, "a finite number")
    for inner_path, inner in _children(value, path) if depth < MAX_DEPTH else ():
        check_finite(inner, inner_path, depth + 1)


def _check_value(value: object, path: str, depth: int) -> None:
    allowed = ALLOWED_DEPTH if depth > MAX_DEPTH else _allowed_instead(value)
    if allowed is not None:
        # Python refuses to print an integer of more than 4,300 digits, and so anything that may contain one.
        printable = not isinstance(value, int | dict | list | tuple | set | frozenset)
        raise InvalidInputError(path, value if printable else type(value), allowed)
    for inner_path, inner in _children(value, path):
        _check_value(inner, inner_path, depth + 1)


def _allowed_instead(value: object) -> str | None:
    """Return what must be given instead of this value; None if JSON can represent it, its children aside."""
    if value is None or isinstance(value, bool | list | tuple):
        return None
    if isinstance(value, int):
        return None if value.bit_length() <= MAX_INTEGER_BITS else f"an integer of at most {MAX_INTEGER_BITS} bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a finite number"
    if isinstance(value, str):
        return None if _is_unicode(value) else "valid Unicode text"
    if isinstance(value, dict):
        has_names = all(isinstance(name, str) and _is_unicode(name) for name in value)
        return None if has_names else "an object whose names are valid Unicode text"
    return "a JSON value: text, a number, true, false, null, a list or an object"


def _children(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}", inner
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield f"{path}[{index}]", inner


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
