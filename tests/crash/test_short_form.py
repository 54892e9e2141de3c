"""
The crashes that matter most, on an Airflow with SQLite: each run is killed at its point, and pays once.

The whole matrix is `make test-crash`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.crash import points, victims
from tests.crash.stack import CrashStack, connections, evolinks
from tests.crash.table import Row
from tests.crash.wave import play

Report = Callable[[Sequence[Row]], None]

CELLS = (
    (points.BEFORE_INTENT, victims.WORKER),
    (points.BEFORE_POST, victims.WORKER),
    (points.ACCEPTED, victims.WORKER),
    (points.ANSWERED, victims.WORKER),
    (points.DEFERRED, victims.TRIGGERER),
    (points.LANDING, victims.WORKER),
)


@pytest.mark.timeout(400)
def test_whoever_is_killed_one_payment_gives_one_landed_result(tmp_path: Path, report: Report) -> None:
    """A killed worker or triggerer costs no second charge, no result, and leaves no half file."""
    with evolinks(len(CELLS)) as handles, CrashStack(tmp_path / "airflow", connections(handles)) as stack:
        rows = play(stack, handles, CELLS, tmp_path / "runs")
    report(rows)
    assert not [complaint for row in rows for complaint in row.complaints]
