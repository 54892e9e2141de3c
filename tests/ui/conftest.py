# SPDX-License-Identifier: Apache-2.0
"""Runs the app on a real server, under a sub-path, as Airflow mounts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.ui.auth_manager import ADMIN, GUEST

if TYPE_CHECKING:
    from tests.ui.airflow_ui import AirflowUi


@pytest.fixture(scope="session")
def running_ui() -> Iterator[AirflowUi]:
    """A server with two DAGs."""
    from airflow.api_fastapi.app import purge_cached_app

    from tests.ui import airflow_ui

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.ui.auth_manager.OneDagAuthManager")
        patch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
        airflow_ui.create_database()
        purge_cached_app()
        with airflow_ui.serve("/airflow") as ui:
            yield ui
        purge_cached_app()
        airflow_ui.remove_database_rows()


@pytest.fixture
def ui(running_ui: AirflowUi, monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowUi]:
    """The server, whose runs have no task instances yet."""
    from tests.ui.airflow_ui import remove_task_instances

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    yield running_ui
    remove_task_instances()


@pytest.fixture
def guest(ui: AirflowUi) -> Iterator[httpx.Client]:
    """A client of a user who may read one DAG."""
    with ui.client(GUEST) as client:
        yield client


@pytest.fixture
def admin(ui: AirflowUi) -> Iterator[httpx.Client]:
    """A client of a user who may read everything."""
    with ui.client(ADMIN) as client:
        yield client


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are shown."""
    folder = tmp_path / "videos"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", f"file://{folder}")
    return folder
