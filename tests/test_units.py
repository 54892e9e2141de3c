# SPDX-License-Identifier: Apache-2.0
"""Sizes are written in one unit, the one that EvoLink's documentation uses."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Memory and databases are measured, not documented by EvoLink: MiB is what their tools state.
ABOUT_MEDIA = [
    ROOT / "README.md",
    *(ROOT / "docs" / "how-to" / f"{name}.md" for name in ("landing", "media", "one-video", "table")),
    *(ROOT / "docs" / "reference" / f"{name}.md" for name in ("models", "operators", "record")),
]
MODULES = sorted((ROOT / "airflow_provider_evolink").rglob("*.py"))


def texts(module: Path) -> list[str]:
    """The texts that a module's code has, docstrings included."""
    return [
        node.value
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize("page", ABOUT_MEDIA, ids=lambda page: page.name)
def test_pages_about_media_write_mb(page: Path) -> None:
    """What a user reads about the size of a file is in MB."""
    assert "MiB" not in page.read_text(encoding="utf-8")


def test_errors_write_mb() -> None:
    """No text of the package, thus no error, has another unit; memory is described in comments and one docstring."""
    found = {module.name for module in MODULES if any("MiB" in text for text in texts(module))}
    assert found == {"tls.py"}
