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
from tests.s3 import S3

Report = Callable[[Sequence[Row]], None]

CELLS = (
    (points.BEFORE_POST, victims.WORKER),
    (points.ACCEPTED, victims.WORKER),
    (points.ANSWERED, victims.WORKER),
    (points.RECORDED, victims.ERROR),
    (points.DEFERRED, victims.TRIGGERER),
    (points.LANDING, victims.WORKER),
    (points.UPLOADING, victims.WORKER),
    (points.ACCEPTED_OR_STOP, victims.WORKER),
)


@pytest.mark.timeout(400)
def test_whoever_is_killed_one_payment_gives_one_landed_result(s3: S3, tmp_path: Path, report: Report) -> None:
    """A killed worker or triggerer costs no second charge, no result, and leaves no half file."""
    with evolinks(len(CELLS)) as handles, CrashStack(tmp_path / "airflow", connections(handles, s3)) as stack:
        rows = play(stack, handles, s3, CELLS, tmp_path / "runs")
    report(rows)
    assert not [complaint for row in rows for complaint in row.complaints]
