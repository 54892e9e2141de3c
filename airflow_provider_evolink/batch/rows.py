# SPDX-License-Identifier: Apache-2.0
"""The rows of a batch, as a stream that can be read again and again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.json_values import MAX_INTEGER_BITS
from airflow_provider_evolink.api.schema import listed
from airflow_provider_evolink.api.wording import shorten
from airflow_provider_evolink.batch.text_rows import TextSource, Unreadable, read_text

MAX_KEY_LENGTH = 200
_MAX_NAMES = 20
# Above, two integers may be the same float.
_LARGEST_WHOLE_FLOAT = 2**53
_KEY_FORM = f"an integer or printable text of 1 to {MAX_KEY_LENGTH} characters, as it names the row"
_ROW_FORM = "must be a mapping of field names to values"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that has a key.

    :param number: its 1-based position among the rows; neither a header nor blank lines count.
    :param key: text of its key field, without whitespace around it.
    :param fields: its values by name, the key included. ``None``, NaN and an empty cell of CSV are no values.
    """

    number: int
    key: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be sent.

    :param number: see :class:`Row`.
    :param key: its key, if it has one.
    :param problem: a sentence that says what must be changed.
    """

    number: int
    key: str | None
    problem: str

    def __str__(self) -> str:
        """Describe it in a list of such rows."""
        return f"row {self.number}{'' if self.key is None else f' ({self.key!r})'}: {self.problem}"


class RowTable:
    """The rows of a batch, read one at a time, and anew whenever they are iterated over.

    :param source: mappings of field names to values, which can be iterated over again and again, or a text file.
    :param key: the field that names a row.
    """

    def __init__(self, source: Iterable[Mapping[str, Any]] | TextSource, key: str) -> None:
        self.key = key
        self._source = source

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Yield the rows in order; those that can't be read or have no key as what is wrong with them.

        :raises InvalidInputError: the file is not CSV, its header names a column twice, or no row has the key's field.
        """
        source = self._source
        items: Iterable[object] = read_text(source, self.key) if isinstance(source, TextSource) else source
        first: Mapping[str, Any] | None = None
        has_key = False
        for number, item in enumerate(items, 1):
            if not has_key:
                first = item if first is None and isinstance(item, Mapping) else first
                has_key = not isinstance(item, Mapping) or self.key in item
            yield _row(number, item, self.key)
        if first is not None and not has_key:
            raise InvalidInputError("key", self.key, f"a field of the rows, but none has it; {_names_of(first)}")


def _row(number: int, item: object, key_field: str) -> Row | BadRow:
    fields = item.fields if isinstance(item, Unreadable) else item
    if not isinstance(fields, Mapping):
        return BadRow(number, None, f"{_ROW_FORM}, not {type(fields).__name__}.")
    key = _key_text(fields.get(key_field))
    if isinstance(item, Unreadable):
        return BadRow(number, key, item.problem)
    if key is None:
        return BadRow(number, None, InvalidInputError(key_field, fields.get(key_field), _KEY_FORM).refusal)
    if not all(isinstance(name, str) for name in fields):
        return BadRow(number, key, f"{_ROW_FORM}, each name text.")
    return Row(number, key, {name: value for name, value in fields.items() if not _is_missing(value)})


def _names_of(fields: Mapping[Any, Any]) -> str:
    names = [shorten(name) for name in list(fields)[:_MAX_NAMES]]
    return f"the first row has {listed(names, 'and') if names else 'no fields at all'}"


def _is_missing(value: object) -> bool:
    """Return whether a value is what a data frame has in an empty cell."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _key_text(value: object) -> str | None:
    """Return the text of a key; None if the value can't be one."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= MAX_INTEGER_BITS:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_WHOLE_FLOAT:
        return str(int(value))  # a data frame has floats in a column of integers with an empty cell
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= MAX_KEY_LENGTH and text.isprintable() else None
