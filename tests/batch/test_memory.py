# SPDX-License-Identifier: Apache-2.0
"""What a worker holds while it lands: nothing that only submitting needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from airflow_provider_evolink.batch.landing import RowLander
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.batch.batches import batch, rows, run
from tests.batch.outcomes import assert_all_landed
from tests.task_harness import TaskHarness


def connections_to(url: str) -> int:
    """Return how many connections to a server this process has open."""
    port = urlsplit(url).port
    connections = psutil.Process().net_connections(kind="tcp")
    return sum(bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in connections)


def test_what_waits_to_be_landed_is_small(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a worker that submits lands, it closes its connections (256 KiB each) and drops the responses it read."""
    landings: list[tuple[int, int]] = []
    land_all = RowLander.land_all

    async def noted(self: RowLander, ended: Sequence[Any], on_landed: Any) -> None:
        landings.append((len(ended), connections_to(evolink.url)))
        assert not any(generation.raw for _, generation in ended)
        await land_all(self, ended, on_landed)

    monkeypatch.setattr(RowLander, "land_all", noted)
    table, own = rows(6), connections_to(evolink.url)

    summary = run(harness, batch(table, tmp_path, max_in_flight=2))

    assert_all_landed(summary, table, evolink)
    assert sum(count for count, _ in landings) == len(table)
    assert {connections for _, connections in landings} == {own}
