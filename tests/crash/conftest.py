from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.crash.table import Row, table

_ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start with an empty table."""
    config.stash[_ROWS] = []


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Sequence[Row]], None]:
    """Add rows to the table that stands at the end of pytest's output."""
    return request.config.stash[_ROWS].extend


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, whether or not all is well."""
    if rows := config.stash[_ROWS]:
        terminalreporter.section("who was killed, and what became of it")
        terminalreporter.write_line(table(rows))
