# SPDX-License-Identifier: Apache-2.0
"""The errors that the page about troubleshooting quotes are errors of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_evolink

PACKAGE = Path(airflow_provider_evolink.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
# Of each row of a table "the error says".
TABLES = re.findall(r"^\| the error says .*\n\|[-|]*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
QUOTED = [quoted for table in TABLES for _, quoted in re.findall(r"^\| (`+) ?(.*?) ?\1 \|", table, re.MULTILINE)]


def texts(module: ast.Module) -> Iterator[str]:
    """Yield the texts in a module, with ``…`` for what an f-string inserts; but no docstrings."""
    for each in ast.walk(module):
        if isinstance(each, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in each.values)
        elif not isinstance(each, ast.Expr):
            values = [value for value in ast.iter_child_nodes(each) if isinstance(value, ast.Constant)]
            yield from (value.value for value in values if isinstance(value.value, str))


TEXTS = [
    " ".join(text.split())
    for path in PACKAGE.rglob("*.py")
    if "emulator" not in path.parts
    for text in texts(ast.parse(path.read_text(encoding="utf-8")))
]


def is_in_the_package(quoted: str) -> bool:
    """Return whether one text of the package has the parts of a quoted error, in their order."""
    pattern = re.compile(".*".join(re.escape(part.strip()) for part in quoted.split("…")))
    return any(pattern.search(text) for text in TEXTS)


def test_the_page_quotes_errors() -> None:
    """The page has errors of each kind."""
    assert len(TABLES) == 6
    assert len(QUOTED) >= 40


def test_the_check_can_fail() -> None:
    """A text that the package doesn't have is noticed."""
    assert not is_in_the_package("Generation … failed for … other reasons")


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_error_exists(quoted: str) -> None:
    """Each quoted error is a text of the package."""
    assert is_in_the_package(quoted)
