# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, and the code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from sybil import Document, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from airflow_provider_evolink.compat import is_parsing_dag_file

ROOT = Path(__file__).parent.parent
OUTSIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md")]
DOCUMENTS = sorted([*OUTSIDE, *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SYBIL = Sybil(parsers=[PythonCodeBlockParser()])


class Block(NamedTuple):
    """A block of a page that a reader sees.

    :param language: as its fence names it; empty if it names none.
    """

    page: Path
    language: str
    text: str


def name_of(page: Path) -> str:
    """The page's path within the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in any of the languages; without languages, all."""
    found = [Block(page, *match) for page in DOCUMENTS for match in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [block for block in found if not languages or block.language in languages]


def run_code(page: Path) -> dict[str, Any]:
    """Run a page's Python blocks in order, invisible ones too, and return the names that they define."""
    document: Document = _SYBIL.parse(page)
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()
    # Otherwise every task of a later test would get into a DAG that a page has left open.
    assert not is_parsing_dag_file(), f"{page} leaves a DAG open"
    return document.namespace
