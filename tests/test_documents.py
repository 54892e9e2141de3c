"""What the documents point at is there: files, and the tests that show what is promised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "deploy" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def links(page: Path) -> list[tuple[str, Path]]:
    """The texts and targets of a page's links into the project."""
    return [(text, page.parent / target) for text, target in _LINK.findall(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    """No page points at a file that was moved."""
    assert [target for _, target in links(page) if not target.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_test_that_is_named_is_in_its_file(page: Path) -> None:
    """A promise names a test that exists, in the file where it is."""
    named = [(text.strip("`"), target) for text, target in links(page) if re.fullmatch(r"`test_\w+`", text)]

    assert [name for name, target in named if f"def {name}(" not in target.read_text()] == []


def test_the_readme_names_tests() -> None:
    """The table of what holds is not empty."""
    assert sum(text.startswith("`test_") for text, _ in links(ROOT / "README.md")) >= 10
