# SPDX-License-Identifier: Apache-2.0
"""File names from patterns, none of which leaves the destination."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result, check_pattern, render
from airflow_provider_evolink.landing.media_types import MediaType
from tests import hostile

MP4 = MediaType("mp4", "video/mp4")
RESULT = Result("task-unified-1-a", 3, "https://example.com/../../x.exe", "gemini/omni flash")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (DEFAULT_PATTERN, "task-unified-1-a/3.mp4"),
        ("{kind}/{model}/{index:03d}.{ext}", "video/gemini-omni-flash/003.mp4"),
        ("{generation_id}_{index}.mov", "task-unified-1-a_3.mov"),
        ("day 1/ü-{index}.{ext}", "day 1/ü-3.mp4"),
        ("{{literal}}-{index}", "{literal}-3"),
        ("{role}s/{index}.{ext}", "results/3.mp4"),
    ],
)
def test_pattern(pattern: str, name: str) -> None:
    """A pattern is filled with known values; nothing from the link gets into the name."""
    assert render(pattern, RESULT, MP4) == name


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "/etc/{index}",
        "../{index}.{ext}",
        "a/../../{index}",
        "./{index}",
        "a//{index}",
        "{index}/",
        "a\\..\\{index}",
        "a\n{index}",
        "a\x00{index}",
        "{name}",
        "{}",
        "{0}",
        "{index",
        "{index!r}",
        "{index:>99999}",
        "{index.__class__}",
        "{model[0]}",
        "{generation_id:10}",
        "x" * 256,
        "/".join(["x" * 200] * 6),
        "ü" * 128,
    ],
)
def test_invalid_patterns(pattern: str) -> None:
    """A pattern that leaves the destination, or has unknown fields, is refused by the parameter's name."""
    with pytest.raises(InvalidInputError, match="`filename_pattern`="):
        render(pattern, RESULT, MP4)


@given(st.text(max_size=200), st.text(max_size=200))
@example("..", ".")
def test_outside_text_stays_inside(generation_id: str, model: str) -> None:
    """No generation id or model, however hostile, leads out of the destination or adds a folder."""
    name = render("{generation_id}/{model}.{ext}", Result(generation_id, 0, "", model), MP4)
    folder, _, file = name.partition("/")
    assert folder not in {"", ".", ".."}
    assert "/" not in file
    assert name.isascii()
    assert name.isprintable()


def test_results_need_different_names() -> None:
    """A pattern that gives two results the same name is refused before anything is downloaded."""
    results = [Result("task-1", 0, ""), Result("task-1", 1, ""), Result("task-2", 0, "")]
    check_pattern(DEFAULT_PATTERN, results)
    check_pattern("all.{ext}", results[:1])
    for pattern in ("{generation_id}.{ext}", "{index}.{ext}", "{kind}.{ext}"):
        with pytest.raises(InvalidInputError, match="`filename_pattern`=") as caught:
            check_pattern(pattern, results)
        assert {"{generation_id}", "{index}"} <= set(str(caught.value).replace(",", "").split())


pieces = st.sampled_from(
    [
        "{generation_id}",
        "{index}",
        "{index:03d}",
        "{ext}",
        "{kind}",
        "{model!r}",
        "{index:{index}}",
        "{",
        "}",
        "/",
        "..",
    ]
)


@given(st.text() | hostile.texts | st.lists(pieces | st.text(max_size=5)).map("".join))
def test_any_pattern_stays_inside_or_is_refused(pattern: str) -> None:
    """Whatever a pattern holds, it names a file below the destination, or is refused by the parameter's name."""
    try:
        name = render(pattern, RESULT, MP4)
    except InvalidInputError as error:
        assert str(error).startswith("`filename_pattern`=")
        return
    assert not {"", ".", ".."} & set(name.split("/"))
    assert len(name.encode()) <= 1024
