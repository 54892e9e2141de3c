# SPDX-License-Identifier: Apache-2.0
"""Checking a whole table before anything is paid for: what is wrong, where, and in how much memory."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, InvalidRowsError, UnreadableInputError
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.batch.names import DEFAULT_PATTERN, row_pattern
from airflow_provider_evolink.batch.rows import BadRow, Row, RowTable
from airflow_provider_evolink.batch.text_rows import TextSource
from airflow_provider_evolink.batch.validation import Checker, Validation, keys_digest, validate


def prepare(row: Row) -> GenerationRequest:
    """Make a request of a row's prompt, which must be text."""
    if not isinstance(row.fields.get("prompt", ""), str):
        raise InvalidInputError("prompt", row.fields["prompt"], "text")
    return GenerationRequest("veo", "/v1", row.key.encode(), tuple(row.fields.get("warnings", ())))


def checker(pattern: str = DEFAULT_PATTERN) -> Checker:
    """Return a checker that has not checked any row yet."""
    return Checker(prepare, partial(row_pattern, pattern))


def table(*rows: Any) -> RowTable:
    """Return a table of rows; text stands for a row with that key."""
    return RowTable([{"sku": row} if isinstance(row, str) else row for row in rows], "sku")


def skip(rows: RowTable, pattern: str = DEFAULT_PATTERN) -> Validation:
    """Validate a table, leaving bad rows out."""
    return validate(rows, checker(pattern), on_invalid="skip")


def bad(key: str, prompt: object = 5) -> dict[str, object]:
    """Return a row that is refused."""
    return {"sku": key, "prompt": prompt}


def test_a_table_without_rows() -> None:
    """A day without products is not an error."""
    found = validate(table(), checker(), on_invalid="fail")
    assert (found.total, found.bad_count, found.bad) == (0, 0, [])


def test_good_rows() -> None:
    """Rows are counted, and each warning is there once."""
    rows = table("A", "B", {"sku": "C", "warnings": ["w", "v"]}, {"sku": "D", "warnings": ["v"]})
    found = validate(rows, checker(), on_invalid="fail")
    assert (found.total, found.bad_count, found.warnings) == (4, 0, ["w", "v"])


def test_bad_rows_end_the_batch() -> None:
    """The error says how many rows are invalid, lists the first ten with all there is to know, and counts the rest."""
    rows = table("A", *(bad(f"B{number}") for number in range(1200)), None)
    with pytest.raises(InvalidRowsError) as caught:
        validate(rows, checker(), on_invalid="fail")
    summary, *lines = str(caught.value).splitlines()
    assert "1,201 of 1,202" in summary
    assert "Nothing was sent" in summary
    assert "retry" in summary
    assert lines[0] == "row 2 ('B0'): `prompt`=5 is invalid: must be text."
    assert len(lines) == 11
    assert "1,191 others" in lines[-1]
    assert caught.value.permanent
    assert not isinstance(caught.value, InvalidInputError)
    assert (caught.value.total, caught.value.invalid) == (1202, 1201)


def test_bad_rows_are_skipped() -> None:
    """With ``skip`` the first ten bad rows are listed and all counted."""
    found = skip(table("A", *(bad(f"B{number}") for number in range(12))))
    assert (found.total, found.bad_count) == (13, 12)
    assert [row.number for row in found.bad] == list(range(2, 12))


def test_an_input_that_is_missing_is_a_bad_row() -> None:
    """A row whose image does not exist is bad; one whose image can't be read at the moment ends the try."""

    def fail(error: Exception, row: Row) -> GenerationRequest:
        raise error

    missing = Checker(partial(fail, UnreadableInputError("image", "/x.png", "an image")), lambda row: row.key)
    assert validate(table("A"), missing, on_invalid="skip").bad_count == 1
    for error in (ConnectionError("down"), TimeoutError("slow"), EvoLinkError("other")):
        with pytest.raises(type(error)):
            validate(table("A"), Checker(partial(fail, error), lambda row: row.key), on_invalid="skip")


def test_a_key_names_one_row() -> None:
    """The second row with a key is bad, and says which row has it too, even if that one is bad itself."""
    found = skip(table("A", bad("B"), "A ", "B", "C", {"sku": "D", 5: "x"}, "D"))
    assert [(row.number, row.key) for row in found.bad] == [(2, "B"), (3, "A"), (4, "B"), (6, "D"), (7, "D")]
    assert "row 1 " in found.bad[1].problem
    assert "row 2 " in found.bad[2].problem


def test_names_belong_to_one_row() -> None:
    """The second row with the same file names is bad, unless generations name them."""
    found = skip(table("A/1", "A-1", "A_1"))
    assert [row.number for row in found.bad] == [2]
    assert "row 1 " in found.bad[0].problem
    assert "filename_pattern" in found.bad[0].problem
    assert skip(table("A/1", "A-1"), "{key}/{generation_id}.{ext}").bad_count == 0


def test_a_field_that_names_need() -> None:
    """A row without a field of the pattern is bad."""
    found = skip(table({"sku": "A", "colour": "red"}, "B"), "{colour}/{key}.{ext}")
    assert [row.number for row in found.bad] == [2]


def test_digest_of_keys() -> None:
    """Another order, number or spelling of keys is another table; other fields are not."""
    same = [table("A", "B", None), table({"sku": "A", "x": 1}, bad("B"), {})]
    others = [table("B", "A", None), table("A", "B"), table("AB", None), table("A", "", "B"), table("A", "B", "", "")]
    digests = {keys_digest(rows) for rows in same}
    assert len(digests) == 1
    assert digests == {(skip(rows).keys_digest, skip(rows).total) for rows in same}
    assert len(digests | {keys_digest(rows) for rows in others}) == 1 + len(others)


keys = st.text("AB/-. {}", max_size=3) | st.integers(0, 3) | st.none()
any_rows = st.lists(st.fixed_dictionaries({"sku": keys}, optional={"prompt": st.sampled_from(["x", 5])}), max_size=12)


@given(any_rows, st.sampled_from([DEFAULT_PATTERN, "x-{key}-{index}.{ext}", "{prompt}/{key}.{ext}"]), st.data())
def test_verdicts_are_the_same_every_time(given: list[dict[str, Any]], pattern: str, data: st.DataObject) -> None:
    """A later pass over the same table, also one that passes over rows, has the same verdicts; names are distinct."""
    rows = RowTable(given, "sku")
    first = checker(pattern)
    verdicts = [first.check(row) for row in rows]
    later, passed = checker(pattern), data.draw(st.sets(st.integers(1, 12)))
    for row, verdict in zip(rows, verdicts, strict=True):
        if row.number in passed:
            later.claim(row)
        else:
            assert later.check(row) == verdict
    good = [row for row, verdict in zip(rows, verdicts, strict=True) if not isinstance(verdict, BadRow)]
    assert all(isinstance(row, Row) for row in good)
    names = [row_pattern(pattern, row) for row in good if isinstance(row, Row)]
    assert len(set(names)) == len({row.key for row in good}) == len(good)


def peak(path: Path, count: int, pattern: str = DEFAULT_PATTERN) -> int:
    """Return the bytes of memory that validating so many rows of a file takes at most."""

    def lines() -> Iterator[str]:
        for number in range(count):
            yield json.dumps({"sku": f"SKU-{number:08}", "prompt": "A red shoe " * 20}) + "\n"

    with path.open("w") as file:
        file.writelines(lines())
    rows = RowTable(TextSource("rows", "jsonl", path.open), "sku")
    gc.collect()
    tracemalloc.start()
    try:
        assert validate(rows, checker(pattern), on_invalid="fail").total == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_for_many_rows(tmp_path: Path) -> None:
    """Of each row only two digests stay in memory, some 300 bytes: a hundred thousand rows fit anywhere."""
    few, many = peak(tmp_path / "few.jsonl", 2_000), peak(tmp_path / "many.jsonl", 20_000)
    assert few < 2_000_000
    assert many - few < 300 * 18_000
