# SPDX-License-Identifier: Apache-2.0
"""A task that generates and lands, under an Airflow with asset state stores and outlet events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.operators.submissions import operator
from tests.task_harness import Store, TaskHarness, asset_stores


class LandingHarness(TaskHarness):
    """A task instance whose outlet events are kept, and whose stores have copies."""

    def __init__(self) -> None:
        super().__init__()
        self.outlet_events: Any = OutletEventAccessors()
        self.copies = Store()

    @property
    def context(self) -> Any:
        """The context of this try."""
        return {**super().context, **asset_stores(self.copies), "outlet_events": self.outlet_events}


def landing(folder: Path, **kwargs: Any) -> EvoLinkGenerateOperator:
    """Return a task that generates and lands."""
    return operator(destination=str(folder), **kwargs)


def rendered(**kwargs: Any) -> EvoLinkGenerateOperator:
    """Return a task whose arguments about landing were templates when the DAG was parsed."""
    task = operator()
    for name, value in kwargs.items():
        setattr(task, name, value)
    return task


def files(folder: Path) -> list[Path]:
    """Return every file below a folder, hidden ones included."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def check_landed(record: Mapping[str, Any], folder: Path) -> None:
    """Check that just the results of a record are in a folder, as the record describes them."""
    generation_id = record["generation_id"]
    assert [entry["generation_id"] for entry in record["landed"]] == [generation_id] * len(record["results"])
    assert [entry["uri"] for entry in record["landed"]] == [file.as_uri() for file in files(folder)]
    for entry in record["landed"]:
        body = Path(entry["uri"].removeprefix("file://")).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        facts = {"uri", "bytes", "sha256", "content_type", "generation_id"}
        assert set(entry) == {*facts, "storage_conn_id", "poster"}


def sent(emulator: EmulatorHandle, *endpoints: str) -> tuple[int, ...]:
    """Return how many requests EvoLink has received at each endpoint."""
    requests = emulator.control.state()["requests"]
    return tuple(requests[endpoint] for endpoint in endpoints)
