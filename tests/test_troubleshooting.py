# SPDX-License-Identifier: Apache-2.0
"""The errors that the page about troubleshooting quotes are errors of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_evolink
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET

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


# Where the errors of ledgers are raised; the text of one that only repeats others has no letters.
LEDGER_MODULES = (
    "batch/ledger.py", "batch/run.py", "execution/object_ledger.py", "execution/task_ledger.py",
    "execution/task_state.py", "submission/ledger.py", "submission/media_links.py", "submission/record.py",
    "submission/record_log.py", "submission/submitter.py",
)  # fmt: skip
LEDGER_ERRORS = {"LedgerError", "RecordError"}


def made_in(path: Path, classes: set[str]) -> Iterator[str]:
    """Yield the text of each error of some classes that a module makes."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in classes:
            yield " ".join(" ".join(texts(ast.Module([call], []))).split())


LEDGER_TEXTS = [
    text
    for name in LEDGER_MODULES
    for text in made_in(PACKAGE / name, {*LEDGER_ERRORS, "ConfigurationError"})
    if re.search("[a-z]", text)
]


def is_quoted_in(text: str, quoted: str) -> bool:
    """Return whether a text of the package has the parts of a quoted error, in their order."""
    return re.search(".*".join(re.escape(part.strip()) for part in quoted.split("…")), text) is not None


def is_in_the_package(quoted: str) -> bool:
    """Return whether one text of the package is what is quoted."""
    return any(is_quoted_in(text, quoted) for text in TEXTS)


def test_the_page_quotes_errors() -> None:
    """The page has errors of each kind."""
    assert len(TABLES) == 7
    assert len(QUOTED) >= 40


def test_the_check_can_fail() -> None:
    """A text that the package doesn't have is noticed."""
    assert not is_in_the_package("Generation … failed for … other reasons")


def test_modules_of_ledgers() -> None:
    """No other module raises an error of a ledger."""
    raising = {path for path in PACKAGE.rglob("*.py") if any(made_in(path, LEDGER_ERRORS))}
    assert raising <= {PACKAGE / name for name in LEDGER_MODULES}


@pytest.mark.parametrize("text", LEDGER_TEXTS)
def test_every_error_of_a_ledger_is_on_the_page(text: str) -> None:
    """Whatever a ledger's error says, the page has a row for it."""
    assert any(is_quoted_in(text, quoted) for quoted in QUOTED)


def test_the_asset_is_explained() -> None:
    """Whoever finds the ledger's asset in Airflow's list, and searches for its name, finds what it is."""
    [row] = re.findall(rf"^\|.*`{LEDGER_ASSET.name}`.*\|$", PAGE, re.MULTILINE)
    assert "public-api.md#the-asset-evolink_ledger" in row


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_error_exists(quoted: str) -> None:
    """Each quoted error is a text of the package."""
    assert is_in_the_package(quoted)
