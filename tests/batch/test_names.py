# SPDX-License-Identifier: Apache-2.0
"""Names of a row's files: made of its key and fields, never outside the destination, never twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.batch.names import (
    DEFAULT_PATTERN,
    check_row_pattern,
    has_generation_id,
    row_fields,
    row_pattern,
)
from airflow_provider_evolink.batch.rows import Row
from airflow_provider_evolink.landing.filenames import Result, render
from airflow_provider_evolink.landing.media_types import MediaType
from tests import hostile

MP4 = MediaType("mp4", "video/mp4")
RESULT = Result("task-unified-1-a", 3, "", "veo")


def row(key: str = "A1", /, **fields: Any) -> Row:
    """Return a row with this key."""
    return Row(7, key, {"sku": key, **fields})


def name(pattern: str, of: Row) -> str:
    """Return the name of a row's fourth result."""
    return render(row_pattern(pattern, of), RESULT, MP4)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (DEFAULT_PATTERN, "A1/3.mp4"),
        ("{sku}_{index:03d}.{ext}", "A1_003.mp4"),
        ("{title}/{key}.{ext}", "Rote-Schuhe-Größe-42/A1.mp4"),
        ("{price}-{stock}-{sale}.{ext}", "3.5-12-true.mp4"),
        ("{kind}/{role}/{generation_id}-{key}.mov", "video/result/task-unified-1-a-A1.mov"),
        ("{model}/{index}", "veo/3"),
        ("{{key}}-{key}", "{key}-A1"),
        ("{Product Name}.{ext}", "x.mp4"),
    ],
)
def test_patterns(pattern: str, expected: str) -> None:
    """A pattern is filled with the row's fields first, then with what the result is."""
    fields = {"title": "Rote Schuhe/Größe 42", "price": 3.5, "stock": 12, "sale": True, "model": "mine", "index": "9"}
    assert name(pattern, row(**fields, **{"Product Name": "x"})) == expected


@pytest.mark.parametrize(
    ("key", "safe"),
    [
        ("A/1", "A-1"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("{index}", "index"),
        ("{{generation_id}}", "generation_id"),
        ("a\\b:c*d?e", "a-b-c-d-e"),
        ("  red   shoe ", "red-shoe"),
        ("Größe", "Größe"),
        ("Gro\u0308ße", "Größe"),
        ("靴-42", "靴-42"),
        ("जूते", "जूते"),
        ("👟 42", "42"),
        ("\u202egnp", "gnp"),
    ],
)
def test_values_become_safe(key: str, safe: str) -> None:
    """Letters of all scripts stay; separators, braces, control characters and leading dots do not."""
    assert name("{key}.{ext}", row(key)) == f"{safe}.mp4"


def test_a_key_is_the_rows_own() -> None:
    """``{key}`` is what names the row, even if another of its fields is named so."""
    assert name("{key}.{ext}", row("A1", key="other")) == "A1.mp4"


def test_missing_fields() -> None:
    """A field that the pattern needs and the row lacks is named, with its place in the pattern."""
    with pytest.raises(InvalidInputError, match=r"`colour`=None.*`filename_pattern` uses \{colour\}"):
        row_pattern("{key}-{colour}", row())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [], {"a": 1}, "???", "", "..", "👟"])
def test_values_that_make_no_name(value: object) -> None:
    """A value without a letter or digit, or of another type, is refused by the field's name."""
    with pytest.raises(InvalidInputError, match="`title`="):
        row_pattern("{title}/{key}", row(title=value))


def test_names_that_are_too_long() -> None:
    """A row whose names no storage takes is refused before it is paid for."""
    with pytest.raises(InvalidInputError, match="255"):
        row_pattern("{title}-{key}.{ext}", row(title="ü" * 130))


@pytest.mark.parametrize(
    "pattern",
    [
        None,
        5,
        "",
        "{index}.{ext}",
        "video.mp4",
        "{key}{index}.{ext}",
        "{index}{key}.{ext}",
        "{sku}0{index}.{ext}",
        "{key",
        "{}",
        "{key!r}",
        "{key:>9}",
        "{key}/{index:>9}",
        "{key}/{index:{sku}}",
        "{key}/{model!r}",
        "../{key}",
        "/{key}",
        "{key}/",
        "{key}//{index}",
        "a\\{key}",
    ],
)
def test_patterns_for_no_row(pattern: object) -> None:
    """A pattern that can't name the files of any row is refused by the parameter's name."""
    with pytest.raises(InvalidInputError, match="`filename_pattern`="):
        check_row_pattern(pattern)


@pytest.mark.parametrize("pattern", [DEFAULT_PATTERN, "{key}.{ext}", "{generation_id}/{index}.{ext}", "{a}{b}-{index}"])
def test_patterns_for_rows(pattern: str) -> None:
    """A pattern with something in it that tells the rows apart is accepted."""
    check_row_pattern(pattern)


def test_what_a_pattern_uses() -> None:
    """The fields of rows that a pattern uses are known, and whether every generation has names of its own."""
    pattern = "{brand}/{key}-{Product Name}-{model}-{index:03d}.{ext}"
    assert row_fields(pattern) == {"brand", "Product Name"}
    assert not has_generation_id(pattern)
    assert not has_generation_id("{{generation_id}}/{key}")
    assert has_generation_id("{generation_id}/{key}")


PIECES = [
    "{key}",
    "{title}",
    "{index}",
    "{ext}",
    "{model}",
    "{generation_id}",
    "{{",
    "}}",
    "/",
    "..",
    ".",
    "-",
    "{",
    "a",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), hostile.texts, hostile.anything)
@example("{key}/{title}", "..", "../x")
@example("{key}{title}", "{generation_id", "}")
def test_no_row_leads_out_of_the_destination(pattern: str, key: str, title: Any) -> None:
    """Whatever pattern and row, the name is below the destination and has only the pattern's folders, or is refused."""
    try:
        filled = row_pattern(pattern, Row(1, key, {"title": title}))
        file = render(filled, RESULT, MP4)
    except InvalidInputError as error:
        assert error.parameter in {"filename_pattern", "key", "title"}
        return
    assert not {"", ".", ".."} & set(file.split("/"))
    assert file.count("/") == pattern.count("/")
    assert file.isprintable()
    assert "\\" not in file
    assert ("task-unified-1-a" in file) == has_generation_id(pattern) or "task-unified-1-a" in f"{key}{title}"
