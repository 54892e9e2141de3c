# SPDX-License-Identifier: Apache-2.0
"""Rows as a stream: the same from a list, JSON Lines and CSV, every time they are read."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.batch.rows import MAX_KEY_LENGTH, BadRow, Row, RowTable
from airflow_provider_evolink.batch.text_rows import TextSource
from tests import hostile


def text_rows(text: str, form: Literal["jsonl", "csv"], key: str = "sku") -> list[Row | BadRow]:
    """Return the rows of a text."""
    return list(RowTable(TextSource(f"rows.{form}", form, lambda: io.StringIO(text, newline="")), key))


def problem(row: Row | BadRow) -> str:
    """Return what is wrong with a row."""
    assert isinstance(row, BadRow)
    return row.problem


class Lazy(Sequence[Any]):
    """A sequence that knows its items only one at a time, as the XComs of mapped tasks do."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.reads = 0

    def __len__(self) -> int:
        raise AssertionError("the length costs a request")

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return self.items[index]


ROWS = [
    Row(1, "A1", {"sku": "A1", "prompt": 'Red, "big"\nshoe', "duration": "8"}),
    Row(2, "ü-2", {"sku": "ü-2", "prompt": "x"}),
]
CSV = 'sku, prompt ,duration,\r\nA1,"Red, ""big""\nshoe",8,\r\n\r\n,,\r\nü-2,x, ,\r\n'


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_one_table_in_every_form(bom: str) -> None:
    """A list, JSON Lines and CSV with the same values are the same rows, with or without a byte order mark."""
    lines = "\n\n".join(json.dumps(dict(row.fields) | {"note": None}) for row in ROWS)
    assert list(RowTable([row.fields for row in ROWS], "sku")) == ROWS
    assert text_rows(bom + lines, "jsonl") == ROWS
    assert text_rows(bom + CSV, "csv") == ROWS


def test_rows_can_be_read_again() -> None:
    """A file is opened anew, and a lazy sequence read anew, whenever the rows are iterated over."""
    opened: list[io.StringIO] = []

    def reopen() -> io.StringIO:
        opened.append(io.StringIO(CSV, newline=""))
        return opened[-1]

    lazy = Lazy([dict(row.fields) for row in ROWS])
    for table in (RowTable(TextSource("rows.csv", "csv", reopen), "sku"), RowTable(lazy, "sku")):
        assert list(table) == list(table) == ROWS
    assert lazy.reads == 2 * (len(ROWS) + 1)
    assert [file.closed for file in opened] == [True, True]


def test_rows_are_read_one_at_a_time() -> None:
    """No row is read before it is asked for, and a file that is left early is closed."""
    lazy = Lazy([{"sku": "A"}, {"sku": "B"}])
    next(iter(RowTable(lazy, "sku")))
    assert lazy.reads == 1
    file = io.StringIO('{"sku": 1}\n{"sku": 2}\n')
    rows = iter(RowTable(TextSource("rows.jsonl", "jsonl", lambda: file), "sku"))
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert file.closed


@pytest.mark.parametrize(("value", "key"), [("A1", "A1"), (" A1\n", "A1"), (7, "7"), (-(2**63), str(-(2**63)))])
def test_keys(value: object, key: str) -> None:
    """Text and integers name rows; whitespace around them does not count."""
    assert [row.key for row in RowTable([{"sku": value}], "sku")] == [key]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        1.5,
        float("nan"),
        True,
        False,
        [],
        {},
        "a\nb",
        "a\0",
        "\ud800",
        2**70,
        "x" * (MAX_KEY_LENGTH + 1),
    ],
)
def test_bad_keys(value: object) -> None:
    """Whatever can't name a row makes it a bad one, and the field is named."""
    (row,) = RowTable([{"sku": value}], "sku")
    assert problem(row).startswith("`sku`=")
    assert row.key is None


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_an_empty_cell_of_a_data_frame_is_no_value(missing: object) -> None:
    """What a data frame has where a cell is empty is left out, as an empty cell of CSV is."""
    (row,) = RowTable([{"sku": "A", "duration": missing, "prompt": "x"}], "sku")
    assert isinstance(row, Row)
    assert row.fields == {"sku": "A", "prompt": "x"}


@pytest.mark.parametrize("item", [None, "A1", 5, ["A1"], [("sku", "A1")]])
def test_items_that_are_no_rows(item: Any) -> None:
    """An item of a list that is no mapping is a bad row, and the others are read."""
    good, bad, last = RowTable([{"sku": "A"}, item, {"sku": "B"}], "sku")
    assert "mapping" in problem(bad)
    assert (good.key, bad.number, last.key) == ("A", 2, "B")


def test_names_that_are_no_text() -> None:
    """A row whose field names are not all text is a bad one."""
    (row,) = RowTable([{"sku": "A", 5: "x"}], "sku")  # type: ignore[dict-item]
    assert row.key == "A"
    assert "name" in problem(row)


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ('{"sku": "A"', "character 12"),
        ("[1]", "not a list"),
        ('"secret-text"', "not text"),
        ("null", "not null"),
        ("[" * 200_000, "nesting"),
        ('{"sku": ' + "9" * 5000 + "}", "huge integers"),
        ("secret-text", "line 3"),
    ],
)
def test_lines_that_are_no_json_objects(line: str, fact: str) -> None:
    """A line that is no JSON object is a bad row that says which line, without what is in it."""
    good, bad, last = text_rows(f'{{"sku": "A"}}\n\n{line}\n{{"sku": "B"}}', "jsonl")
    assert fact in problem(bad)
    assert "line 3" in problem(bad)
    assert "secret-text" not in problem(bad)
    assert len(problem(bad)) < 150
    assert (good.key, bad.number, last.key) == ("A", 2, "B")


def test_a_cell_may_hold_a_picture() -> None:
    """A picture as a data URL is larger than what the csv module takes at first."""
    picture = f"data:image/png;base64,{'A' * 400_000}"
    assert text_rows(f'sku,image\nA,"{picture}"\n', "csv") == [Row(1, "A", {"sku": "A", "image": picture})]


def test_too_many_cells() -> None:
    """A CSV row with more cells than columns is bad, but its key is known; empty cells at its end do not count."""
    good, bad, last = text_rows("sku,prompt\nA,x,,\nB,Red, big shoe\nC\n", "csv")
    assert "line 3" in problem(bad)
    assert "quotes" in problem(bad)
    assert (good.key, bad.key, last) == ("A", "B", Row(3, "C", {"sku": "C"}))


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("id,prompt\n1,x\n", "'id' and 'prompt'"),
        ("sku;prompt\nA;x\n", "separated by commas"),
        ("", "empty"),
        ("\ufeff", "empty"),
    ],
)
def test_a_header_without_the_key(text: str, fact: str) -> None:
    """A CSV file without the key's column is refused as a whole, with the columns that there are."""
    with pytest.raises(InvalidInputError, match="`key`='sku'") as caught:
        text_rows(text, "csv")
    assert fact in str(caught.value)


@pytest.mark.parametrize("header", ["sku,prompt,sku", "sku,prompt, prompt", "sku,,prompt"])
def test_columns_need_names_of_their_own(header: str) -> None:
    """A CSV file that names a column twice, or not at all, is refused as a whole."""
    with pytest.raises(InvalidInputError, match=r"`requests`=.*'prompt'"):
        text_rows(f"{header}\nA,x,y\n", "csv")


@pytest.mark.parametrize("cell", ['"never closed', '"a"b'])
def test_broken_csv(cell: str) -> None:
    """CSV that can't be split into rows is refused as a whole, since nobody knows what its rows would be."""
    with pytest.raises(InvalidInputError, match=r"`requests`='rows.csv'.*line"):
        text_rows(f"sku,prompt\nA,{cell}\nB,x\n", "csv")


@given(st.lists(hostile.anything, max_size=5), hostile.texts)
def test_any_list_becomes_rows(items: list[Any], key: str) -> None:
    """Whatever a list holds, every item becomes one row, good or bad, in order; the last one has the key's field."""
    rows = list(RowTable([*items, {key: "A"}], key))
    assert [row.number for row in rows] == list(range(1, len(items) + 2))
    assert all(isinstance(row, BadRow) or row.key.encode().strip() for row in rows)


@given(st.text() | st.lists(hostile.anything.map(json.dumps)).map("\n".join), st.sampled_from(["jsonl", "csv"]))
def test_any_text_becomes_rows_or_is_refused(text: str, form: Literal["jsonl", "csv"]) -> None:
    """Whatever a text holds, it is read as rows, or refused by a parameter's name."""
    try:
        rows = text_rows(text, form, "a")
    except InvalidInputError as error:
        assert error.parameter in {"key", "requests"}
        return
    assert all(str(row).isprintable() for row in rows if isinstance(row, BadRow))


@pytest.mark.parametrize(("value", "key"), [(1.0, "1"), (-3.0, "-3"), (2.0**53, str(2**53))])
def test_whole_numbers_of_a_data_frame_are_keys(value: float, key: str) -> None:
    """A column of integers with an empty cell is one of floats; 3.0 is the key 3."""
    (row,) = RowTable([{"sku": value}], "sku")
    assert row.key == key


def test_large_floats_are_no_keys() -> None:
    """Above 2**53 two integers may be the same float."""
    (row,) = RowTable([{"sku": 2.0**53 + 2}], "sku")
    assert problem(row).startswith("`sku`=")


def test_no_row_has_the_keys_field() -> None:
    """The table as a whole is refused with the fields that there are; one row that has it is enough."""
    rows = [{"id": 1, "prompt": "x"}, {"id": 2}]
    error = (
        r"^`key`='sku' is invalid: must be a field of the rows, but none has it; the first row has 'id' and 'prompt'"
    )
    with pytest.raises(InvalidInputError, match=error):
        list(RowTable(rows, "sku"))
    with pytest.raises(InvalidInputError, match=error):
        text_rows("\n".join(map(json.dumps, rows)), "jsonl")
    with pytest.raises(InvalidInputError, match="the first row has no fields at all"):
        list(RowTable([{}], "sku"))
    assert isinstance(list(RowTable([*rows, {"sku": "A"}], "sku"))[2], Row)
