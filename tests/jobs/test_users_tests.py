# SPDX-License-Identifier: Apache-2.0
"""A user's own tests of their DAGs: a project, a database and pytest, without anything of this test suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_evolink.compat import has_state_stores
from tests.jobs.job_files import DAGS, USERS_TESTS


@pytest.fixture
def project(tmp_path: Path, picture: bytes) -> Path:
    """A user's project: two DAGs, what they read, and their tests."""
    for folder in ("dags", "media"):
        (tmp_path / folder).mkdir()
    for name in ("budget.py", "first_and_last_frame.py"):
        (tmp_path / "dags" / name).write_text((DAGS / name).read_text())
    for name in ("bud.png", "flower.png"):
        (tmp_path / "media" / name).write_bytes(picture)
    rows = "".join(f"scene-{number},Waves roll in\n" for number in range(12))
    (tmp_path / "media" / "prompts.csv").write_text(f"name,prompt\n{rows}")
    (tmp_path / "test_dags.py").write_text(USERS_TESTS.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = dags\n")
    return tmp_path


def test_the_users_tests_pass(project: Path) -> None:
    """A project's tests pass, given the fixture, the DAGs folder and a migrated database."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "EVOLINK", "PYTEST"))}
    env = own | {"AIRFLOW_HOME": str(project / "airflow"), "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags")}
    if not has_state_stores():
        (project / "ledgers").mkdir()
        env["AIRFLOW__EVOLINK__LEDGER_PATH"] = f"file://{project}/ledgers"
    for command in (["airflow", "db", "migrate"], ["pytest", "-q", "-p", "no:cacheprovider"]):
        ran = subprocess.run(
            [sys.executable, "-m", *command], cwd=project, env=env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert "3 passed" in ran.stdout
