# SPDX-License-Identifier: Apache-2.0
"""Markdown tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; all columns but the first are right-aligned figures, unless a head starts with ``<``."""
    rules = ["---" if number == 0 or head.startswith("<") else "---:" for number, head in enumerate(heads)]
    lines = [[head.removeprefix("<") for head in heads], rules, *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def number(value: float | None, digits: int = 2) -> str:
    """Format a figure, or a dash if there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"
