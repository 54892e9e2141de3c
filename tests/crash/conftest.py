from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import pytest

from tests.crash.table import Row, table

_PROPERTY = "crash"


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Sequence[Row]], None]:
    """Add rows to the table that stands at the end of pytest's output."""

    def add(rows: Sequence[Row]) -> None:
        request.node.user_properties.extend((_PROPERTY, asdict(row)) for row in rows)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, whether or not all is well; the tests may have run in other processes."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    rows = [Row(**value) for one in reports for name, value in one.user_properties if name == _PROPERTY]
    if rows:
        terminalreporter.section("who was killed, and what became of it")
        terminalreporter.write_line(table(rows))
