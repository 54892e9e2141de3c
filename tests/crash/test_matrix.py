# SPDX-License-Identifier: Apache-2.0
"""Every failpoint with every target: `make test-crash`, 40 minutes.

One Airflow on PostgreSQL with two triggerers serves all. Each target is disrupted at all failpoints of a generation at
the same moment, then at all failpoints of a task that also lands, and then at all failpoints of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.postgres import running_postgres
from testkit.s3 import S3
from tests.crash.batch_failpoints import BATCH_FAILPOINTS
from tests.crash.cells import Cell, run_cells
from tests.crash.failpoints import FAILPOINTS, ONE_TASK_FAILPOINTS, Failpoint
from tests.crash.stack import CrashStack, connections, evolinks
from tests.crash.table import Row
from tests.crash.targets import TARGETS, Target

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def handles() -> Iterator[Mapping[str, EmulatorHandle]]:
    """An EvoLink for each failpoint."""
    with evolinks(max(len(FAILPOINTS), len(BATCH_FAILPOINTS))) as some:
        yield some


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, handles: Mapping[str, EmulatorHandle], s3: S3
) -> Iterator[CrashStack]:
    """Airflow as in production: PostgreSQL and two triggerers."""
    home = tmp_path_factory.mktemp("airflow")
    with running_postgres(home) as (processes, address):
        env = connections(handles, s3) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}
        with CrashStack(home, env, triggerers=2, processes=processes) as some:
            yield some


def cells_of(failpoints: Sequence[Failpoint], target: Target) -> list[Cell]:
    """Return the failpoints at which a target can be disrupted."""
    return [(failpoint, target) for failpoint in failpoints if target.applies_to(failpoint)]


@pytest.mark.parametrize(
    "failpoints", [FAILPOINTS, ONE_TASK_FAILPOINTS, BATCH_FAILPOINTS], ids=["generation", "one_task", "batch"]
)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_at_every_failpoint_one_payment_gives_one_landed_result(
    failpoints: Sequence[Failpoint],
    target: Target,
    stack: CrashStack,
    handles: Mapping[str, EmulatorHandle],
    s3: S3,
    tmp_path: Path,
    report: Callable[[Sequence[Row]], None],
) -> None:
    """Wherever the runs are, each pays once for each result, lands it, leaves no partial file and ends."""
    rows = run_cells(stack, handles, s3, cells_of(failpoints, target), tmp_path)
    report(rows)
    assert not [violation for row in rows for violation in row.violations]
