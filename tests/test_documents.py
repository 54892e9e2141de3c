# SPDX-License-Identifier: Apache-2.0
"""What the documentation refers to exists: files, headings, tests, make targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, ROOT, name_of

_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)")
# Headings that the site generates, by page: see scripts/docs_tables.py. The build of the site checks links to them.
_GENERATED = ("docs/reference/record.md",)


def links(page: Path) -> list[tuple[str, Path, str | None]]:
    """The text, file and heading of each link from a page into the project."""
    found = _LINK.findall(page.read_text())
    return [(text, page.parent / target if target else page, anchor) for text, target, anchor in found]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    """Every link into the project leads to an existing file."""
    assert [target for _, target, _ in links(page) if not target.exists()] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_links_to_a_file_show_its_name(page: Path) -> None:
    """A link whose text is a Python file leads to that file, not to what has replaced it."""
    named = [(text.strip("`"), target) for text, target, _ in links(page) if text.endswith(".py`")]

    assert [text for text, target in named if not target.as_posix().endswith(text)] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_named_paths_exist(page: Path) -> None:
    """Every path in code style, relative to the project or to the package, exists."""
    roots = (ROOT, ROOT / "airflow_provider_evolink")
    names = re.findall(r"`([a-z_]+/[\w./-]*\.py)`", page.read_text())

    assert [name for name in names if not any((root / name).exists() for root in roots)] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_links_lead_to_headings(page: Path) -> None:
    """Every link to a heading leads to one that exists."""
    found = [(target.resolve(), anchor) for _, target, anchor in links(page) if anchor]

    assert [
        (name_of(target), anchor)
        for target, anchor in found
        if name_of(target) not in _GENERATED and anchor not in anchors(target)
    ] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_named_tests_exist(page: Path) -> None:
    """A promise names a test that exists, in the file that it links to."""
    named = [(text.strip("`"), target) for text, target, _ in links(page) if re.fullmatch(r"`test_\w+`", text)]

    assert [name for name, target in named if f"def {name}(" not in target.read_text()] == []


def test_promises_name_tests() -> None:
    """The table of promises has proofs."""
    assert sum(text.startswith("`test_") for text, _, _ in links(ROOT / "docs" / "explanation" / "guarantees.md")) >= 10


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    """Every `make` command in the documentation has a target."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)\$? ?make ([a-z][a-z-]*(?:\d\.\d)?)", page.read_text(), re.MULTILINE))

    assert [
        target
        for target in sorted(targets)
        if not re.search(rf"^([a-z0-9. -]+ )?{re.escape(target)}( [a-z0-9. -]+)?:", makefile, re.MULTILINE)
    ] == []
