# SPDX-License-Identifier: Apache-2.0
"""Which values JSON can carry: checked by name and place before a request is encoded. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError

# How deep values may be nested, and how large an integer may be: what every JSON reader takes.
MAX_DEPTH = 32
MAX_INTEGER_BITS = 64


def check_json(parameters: Mapping[str, Any]) -> None:
    """
    Refuse what JSON can't carry, before it is encoded.

    :param parameters: by name.
    :raises InvalidInputError: names the parameter, and the place inside it.
    """
    for name, value in parameters.items():
        problem = _not_json({name: None})
        if problem is not None:
            raise InvalidInputError("parameters", type(name), problem)
        _check_value(value, name, depth=1)


def _check_value(value: object, path: str, depth: int) -> None:
    problem = f"it is nested more than {MAX_DEPTH} deep" if depth > MAX_DEPTH else _not_json(value)
    if problem is not None:
        # Python refuses to print an integer of more than 4,300 digits, and so whatever may hold one.
        printable = not isinstance(value, int | dict | list | tuple | set | frozenset)
        raise InvalidInputError(path, value if printable else type(value), problem)
    for inner_path, inner in _children(value, path):
        _check_value(inner, inner_path, depth + 1)


def _not_json(value: object) -> str | None:
    if value is None or isinstance(value, bool | list | tuple):
        return None
    if isinstance(value, int):
        return None if value.bit_length() <= MAX_INTEGER_BITS else f"it has more than {MAX_INTEGER_BITS} bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "it must be finite"
    if isinstance(value, str):
        return None if _is_unicode(value) else "it must be valid Unicode"
    if isinstance(value, dict):
        return None if all(isinstance(key, str) and _is_unicode(key) for key in value) else "its names must be text"
    return "it must be a JSON value: text, a number, true, false, null, a list or an object"


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
