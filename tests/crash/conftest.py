# SPDX-License-Identifier: Apache-2.0
"""Prints the table of results after the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import pytest

from tests.crash.table import Row, table

_PROPERTY = "crash"


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Sequence[Row]], None]:
    """Add rows to the table at the end of pytest's output."""

    def add(rows: Sequence[Row]) -> None:
        request.node.user_properties.extend((_PROPERTY, asdict(row)) for row in rows)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, whether or not the tests passed; they may have run in other processes."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [Row(**value) for report in reports for name, value in report.user_properties if name == _PROPERTY]
    if rows:
        terminalreporter.section("who was killed, and what became of it")
        terminalreporter.write_line(table(rows))
