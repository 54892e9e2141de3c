# SPDX-License-Identifier: Apache-2.0
"""The files of the jobs, and how many lines of code they have."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DAGS = FOLDER / "dags"
USERS_TESTS = FOLDER / "project" / "dag_tests.py"

Run = Callable[..., Any]
"""Runs a job once: its name, then the parameters of the run."""

Put = Callable[[str, bytes], None]
"""Puts an object into the bucket: its name, then its content."""

_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def lines_of_code(file: Path) -> int:
    """Count the lines that are neither blank, nor a comment, nor part of a docstring."""
    source = file.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for token in tokens if token.type not in _NO_CODE for line in range(token.start[0], token.end[0] + 1)}
    return len(code - _docstrings(ast.parse(source)))


def _docstrings(tree: ast.Module) -> set[int]:
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)]
    texts = [node.body[0] for node in documented if ast.get_docstring(node) is not None]
    return {line for text in texts for line in range(text.lineno, (text.end_lineno or text.lineno) + 1)}
