# SPDX-License-Identifier: Apache-2.0
"""Name the files of a row: fill a pattern with the row's key and fields, and leave the rest to its results. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from string import Formatter
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import InvalidInputError, LandingInputError
from airflow_provider_evolink.landing import asset_names
from airflow_provider_evolink.landing.filenames import FIELDS, Result, check_pattern, safe_text

if TYPE_CHECKING:
    from airflow_provider_evolink.batch.rows import Row

DEFAULT_PATTERN = "{key}/{index}.{ext}"
KEY = "key"

_PARAMETER = "filename_pattern"
_CHECKS: Mapping[str, Callable[[str, list[Result]], object]] = {
    _PARAMETER: check_pattern,
    asset_names.PARAMETER: asset_names.check_asset_names,
}
_ANY_RESULT = Result("task-unified-1234567890-abcdefgh", 0, "", "model")


def row_pattern(pattern: str, row: Row, parameter: str = _PARAMETER) -> str:
    """Fill in what a row says about the names of its files, or of their assets.

    :param pattern: as for :func:`~airflow_provider_evolink.landing.filenames.render`; also with ``{key}``, the row's
        key, and any field of the row. A field of a result (``{model}``, ``{index}``) is never the row's.
    :param parameter: the argument that the pattern is: ``filename_pattern`` or ``asset_name``.
    :return: a pattern for the names of the row's results: fields of results are left as they are, and values get safe,
        without separators and braces.
    :raises InvalidInputError: the row lacks a field, or has a value that no name can be made of, or that makes a name
        too long.
    """
    return _filled(pattern, lambda field: _value(row, field, parameter), parameter)


def row_fields(pattern: str) -> frozenset[str]:
    """Return the names of the rows' fields that a pattern uses, ``key`` aside."""
    return frozenset(field for _, field in _pieces(pattern) if field is not None) - {KEY}


def check_asset_pattern(pattern: object, *, of_rows: bool = True) -> None:
    """Refuse a pattern that can't name the assets of files of which neither role nor link is kept.

    :param of_rows: whether the files are those of a batch's rows.
    :raises InvalidInputError: see :func:`check_row_pattern`; or it uses ``{role}``.
    """
    parameter = asset_names.PARAMETER
    if isinstance(pattern, str) and any(field == "role" for _, field, _, _ in _parsed(pattern, parameter)):
        raise InvalidInputError(parameter, pattern, "a pattern without {role}, which only single generations have")
    if of_rows:
        check_row_pattern(pattern, parameter)
    else:
        asset_names.check_asset_names(pattern, [_ANY_RESULT])


def check_row_pattern(pattern: object, parameter: str = _PARAMETER) -> None:
    """Refuse a pattern that can name no row's files, or assets. Cheap enough to call when a DAG file is parsed.

    :param parameter: the argument that the pattern is: ``filename_pattern`` or ``asset_name``.
    :raises InvalidInputError: it is no valid pattern, leads out of the destination, has nothing in it that tells one
        row from another, or joins a row's field to ``{index}`` so that nobody can tell where the one ends.
    """
    if not isinstance(pattern, str):
        raise InvalidInputError(parameter, pattern, f"text, such as {DEFAULT_PATTERN!r}")
    fields = [field for _, field in _pieces(pattern, parameter) if field is not None]
    try:
        _filled(pattern, lambda _: "x", parameter)
    except LandingInputError as error:
        raise InvalidInputError(parameter, pattern, error.allowed) from None
    if not fields and not has_generation_id(pattern):
        raise InvalidInputError(parameter, pattern, "a pattern with {key}, so that every row has files of its own")
    for before, between, after in _neighbors(pattern, parameter):
        if "index" in {before, after} and {before, after} - set(FIELDS) and (not between or between.isdigit()):
            allowed = f"a pattern with a separator between {{{before}}} and {{{after}}}, as in {DEFAULT_PATTERN!r}"
            raise InvalidInputError(parameter, pattern, allowed)


def has_generation_id(pattern: str) -> bool:
    """Return whether every result has a name of its own, whatever its row."""
    return "{generation_id}" in pattern and any(field == "generation_id" for _, field, _, _ in _parsed(pattern))


def _filled(pattern: str, value_of: Callable[[str], str], parameter: str) -> str:
    pieces = _pieces(pattern, parameter)
    filled = "".join(f"{fixed}{'' if field is None else value_of(field)}" for fixed, field in pieces)
    _CHECKS[parameter](filled, [_ANY_RESULT])
    return filled


def _value(row: Row, field: str, parameter: str) -> str:
    value = row.key if field == KEY else row.fields.get(field)
    text = "" if value is None else safe_text(_text(value))
    if not text:
        form = "given" if value is None else "a number, or text with a letter or digit in it"
        raise InvalidInputError(field, value, f"{form}, since `{parameter}` uses {{{field}}}")
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    is_text = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return str(value) if is_text else ""


@lru_cache(maxsize=16)
def _pieces(pattern: str, parameter: str = _PARAMETER) -> tuple[tuple[str, str | None], ...]:
    """Split a pattern into texts that stay as they are, each with the row's field that follows it."""
    pieces: list[tuple[str, str | None]] = []
    fixed = ""
    for text, field, spec, conversion in _parsed(pattern, parameter):
        fixed += text.replace("{", "{{").replace("}", "}}")
        if field in FIELDS:
            fixed += f"{{{field}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
        elif field is not None:
            if not field or spec or conversion:
                allowed = f"a pattern with names in its braces, and no format for them but {{index:03d}}, not {field!r}"
                raise InvalidInputError(parameter, pattern, allowed)
            pieces.append((fixed, field))
            fixed = ""
    return (*pieces, (fixed, None))


@lru_cache(maxsize=16)
def _parsed(pattern: str, parameter: str = _PARAMETER) -> tuple[tuple[str, str | None, str | None, str | None], ...]:
    try:
        return tuple(Formatter().parse(pattern))
    except ValueError as error:
        raise InvalidInputError(parameter, pattern, f"a valid format string ({error})") from None


def _neighbors(pattern: str, parameter: str) -> Iterator[tuple[str, str, str]]:
    """Yield every two fields that follow each other, with the text between them."""
    before, between = None, ""
    for text, field, _, _ in _parsed(pattern, parameter):
        between += text
        if field is None:
            continue
        if before is not None:
            yield before, between, field
        before, between = field, ""
