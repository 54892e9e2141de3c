# SPDX-License-Identifier: Apache-2.0
"""What the jobs find in their Airflow: their DAGs, the emulator, a bucket, and a folder of media."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.s3 import BUCKET, S3
from tests.jobs.job_files import DAGS, Put, Run
from tests.media import files


@pytest.fixture(scope="package")
def _dags() -> Any:
    """Every job, on a fresh Airflow database."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    from tests.loaded_dag import DagBag, sync_bag_to_db

    initdb()
    bag = DagBag(str(DAGS))
    assert bag.import_errors == {}
    for task in (task for dag in bag.dags.values() for task in dag.tasks):
        _retry_soon(task)
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
    return bag.dags


@pytest.fixture
def run(_dags: Any, emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a job once, with the emulator as its EvoLink, and return the run."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")
    return lambda dag_id, **conf: _dags[dag_id].test(run_conf=conf)


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder behind the bucket of the connection ``shop``: to read what the server has stored."""
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", s3.connection)
    return s3.folder / BUCKET


@pytest.fixture
def put(s3: S3, bucket: Path) -> Put:
    """Put an object into the bucket, by its name."""
    return lambda name, content: s3.file_system().pipe_file(f"{BUCKET}/{name}", content)


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in the variable ``media``, on the worker's disk."""
    monkeypatch.setenv("AIRFLOW_VAR_MEDIA", str(tmp_path))
    return tmp_path


@pytest.fixture
def picture() -> bytes:
    """A picture that every model takes."""
    return files.whole_png(1024, 768)


def _retry_soon(task: Any) -> None:
    """Make a retry wait for a second, instead of Airflow's five minutes."""
    if task.is_mapped:
        task.partial_kwargs["retry_delay"] = timedelta(seconds=1)
    else:
        task.retry_delay = timedelta(seconds=1)
