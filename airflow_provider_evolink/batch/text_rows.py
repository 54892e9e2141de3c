# SPDX-License-Identifier: Apache-2.0
"""Parse the rows of a text file, JSON Lines or CSV, one at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import listed

_BOM = "\ufeff"
# Characters in a cell.
_MAX_CELL = 128 * 1024 * 1024
_JSON_NAMES = {list: "a list", str: "text", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text file with one row per line, or, in CSV, per record.

    :param name: its path or URI, for messages.
    :param format: ``jsonl`` (a JSON object per line) or ``csv`` (comma-separated, with a header).
    :param open: opens it anew, from its start; in CSV without translating line ends (``newline=""``).
    """

    name: str
    format: Literal["jsonl", "csv"]
    open: Callable[[], AbstractContextManager[Iterable[str]]]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no row.

    :param problem: a sentence that says what it must be.
    :param fields: what of it could be read.
    """

    problem: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_text(source: TextSource, key: str) -> Iterator[Mapping[str, Any] | Unreadable]:
    """Yield the fields of each row; blank lines are none, and empty cells of CSV are left out.

    :param key: the field that every row needs.
    :raises InvalidInputError: it is not CSV, or its header lacks the key or names a column twice.
    """
    with source.open() as lines:
        parse = _json_rows(lines) if source.format == "jsonl" else _csv_rows(lines, source.name, key)
        yield from parse


def _without_bom(lines: Iterable[str]) -> Iterator[str]:
    iterator = iter(lines)
    yield next(iterator, "").removeprefix(_BOM)
    yield from iterator


def _json_rows(lines: Iterable[str]) -> Iterator[Mapping[str, Any] | Unreadable]:
    for number, line in enumerate(_without_bom(lines), 1):
        if line.strip():
            yield _json_row(line, number)


def _json_row(line: str, number: int) -> Mapping[str, Any] | Unreadable:
    try:
        value = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        return Unreadable(f"line {number} must be a JSON object: {error.msg} at character {error.pos + 1}.")
    except (ValueError, RecursionError):
        return Unreadable(f"line {number} must be a JSON object without deep nesting and huge integers.")
    if not isinstance(value, dict):
        return Unreadable(f"line {number} must be a JSON object, not {_JSON_NAMES[type(value)]}.")
    return value


def _csv_rows(lines: Iterable[str], name: str, key: str) -> Iterator[Mapping[str, Any] | Unreadable]:
    # The limit is that of the whole process, 128 KiB at first: a picture as a data URL passes it.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    # Strict, since otherwise a quote that is never closed swallows all the rows after it.
    reader = csv.reader(_without_bom(lines), strict=True)
    try:
        columns = _columns(next((cells for cells in reader if any(cells)), []), name, key)
        for cells in reader:
            if any(map(str.strip, cells)):
                yield _csv_row(cells, columns, reader.line_num)
    except csv.Error as error:
        raise _not_csv(name, f"{error} in line {reader.line_num}") from None


def _columns(header: list[str], name: str, key: str) -> list[str]:
    columns = [column.strip() for column in header]
    while columns and not columns[-1]:
        columns.pop()
    names = f"but its columns are {listed(list(map(repr, columns)), 'and')}" if columns else "but it is empty"
    if key not in columns:
        raise InvalidInputError("key", key, f"a column of {name}, {names}, separated by commas")
    if len({*columns, ""}) <= len(columns):
        raise _not_csv(name, f"each column needs a name of its own, {names}")
    return columns


def _csv_row(cells: list[str], columns: list[str], line: int) -> Mapping[str, Any] | Unreadable:
    fields = {column: cell for column, cell in zip(columns, cells, strict=False) if cell.strip()}
    if any(map(str.strip, cells[len(columns) :])):
        counts = f"not {len(cells)}; a text with a comma in it needs quotes"
        return Unreadable(f"line {line} must have at most {len(columns)} cells, {counts}.", fields)
    return fields


def _not_csv(name: str, problem: str) -> InvalidInputError:
    return InvalidInputError("requests", name, f"a valid CSV file: {problem}")
