# SPDX-License-Identifier: Apache-2.0
"""The most important crashes, on an Airflow with SQLite: each run is killed at its failpoint and pays once.

The whole matrix is `make test-crash`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from testkit.s3 import S3
from tests.crash import batch_failpoints, failpoints, targets
from tests.crash.cells import run_cells
from tests.crash.stack import CrashStack, connections, evolinks
from tests.crash.table import Row

Report = Callable[[Sequence[Row]], None]

CELLS = (
    (failpoints.BEFORE_INTENT, targets.WORKER),
    (failpoints.BEFORE_POST, targets.WORKER),
    (failpoints.ACCEPTED, targets.WORKER),
    (failpoints.RESPONSE_RECEIVED, targets.WORKER),
    (failpoints.RECORDED, targets.ERROR),
    (failpoints.DEFERRED, targets.TRIGGERER),
    (failpoints.LANDING, targets.WORKER),
    (failpoints.UPLOADING, targets.WORKER),
    (failpoints.ACCEPTED_OR_STOP, targets.WORKER),
    (failpoints.ONE_TASK_CHECKPOINTED, targets.WORKER),
    (batch_failpoints.AMID_POSTS, targets.WORKER),
    (batch_failpoints.LANDING, targets.WORKER),
    (batch_failpoints.REPLACING, targets.WORKER),
)


@pytest.mark.timeout(400)
def test_after_a_kill_one_payment_gives_one_landed_result(s3: S3, tmp_path: Path, report: Report) -> None:
    """A killed worker or triggerer causes no second charge, loses no result and leaves no partial file."""
    with evolinks(len(CELLS)) as handles, CrashStack(tmp_path / "airflow", connections(handles, s3)) as stack:
        rows = run_cells(stack, handles, s3, CELLS, tmp_path / "runs")
    report(rows)
    assert not [violation for row in rows for violation in row.violations]
