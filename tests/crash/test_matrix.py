"""
Every point of the path and every victim: `make test-crash`, a quarter of an hour.

One Airflow on PostgreSQL, with two triggerers, serves all. For each victim all points are struck at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.crash.points import POINTS
from tests.crash.postgres import running_postgres
from tests.crash.stack import CrashStack, connections, evolinks
from tests.crash.table import Row
from tests.crash.victims import VICTIMS, Victim
from tests.crash.wave import Cell, play
from tests.s3 import S3

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def handles() -> Iterator[Mapping[str, EmulatorHandle]]:
    """An EvoLink for each point."""
    with evolinks(len(POINTS)) as some:
        yield some


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, handles: Mapping[str, EmulatorHandle], s3: S3
) -> Iterator[CrashStack]:
    """Airflow as in production: PostgreSQL, and two triggerers."""
    home = tmp_path_factory.mktemp("airflow")
    with running_postgres(home) as (processes, address):
        env = connections(handles, s3) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}
        with CrashStack(home, env, triggerers=2, processes=processes) as some:
            yield some


def cells_of(victim: Victim) -> list[Cell]:
    """All points at which a victim can be struck."""
    return [(point, victim) for point in POINTS if victim.strikes_at(point)]


@pytest.mark.parametrize("victim", VICTIMS, ids=lambda victim: victim.name)
def test_whoever_is_struck_one_payment_gives_one_landed_result(
    victim: Victim,
    stack: CrashStack,
    handles: Mapping[str, EmulatorHandle],
    s3: S3,
    tmp_path: Path,
    report: Callable[[Sequence[Row]], None],
) -> None:
    """Wherever the runs are, each is charged once, lands its result, leaves no half file and comes to its end."""
    rows = play(stack, handles, s3, cells_of(victim), tmp_path)
    report(rows)
    assert not [complaint for row in rows for complaint in row.complaints]
