# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin in a user's own project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TESTS = """
import json
import httpx

def submit(emulator):
    connection = json.loads(emulator.airflow_connection)
    headers = {"Authorization": "Bearer " + connection["password"]}
    body = {"model": "gpt-image-2", "prompt": "a"}
    return httpx.post(connection["host"] + "/v1/images/generations", json=body, headers=headers)

def test_first(evolink_emulator):
    assert submit(evolink_emulator).json()["task_info"]["estimated_time"] == 10
    evolink_emulator.control.inject("server_error", times=None)
    assert submit(evolink_emulator).status_code == 500

def test_second_is_reset(evolink_emulator):
    assert evolink_emulator.control.state()["generations"] == []
    assert submit(evolink_emulator).status_code == 200
"""


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with some arguments."""
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


def test_fixture_needs_no_configuration(tmp_path):
    """In any project, the fixture is an emulator, reset for every test, at the speed of the ini option."""
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nevolink_emulator_clock = 10\n")
    # other plugins emit warnings of their own
    without = [option for name in ("anyio", "asyncio", "cacheprovider") for option in ("-p", f"no:{name}")]
    result = run("-m", "pytest", "-q", "-W", "error", *without, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_unused_plugin_imports_nothing_heavy():
    """Importing the plugin imports no web server, no FFmpeg, no HTTP client and no Airflow."""
    code = (
        "import sys, json, airflow_provider_evolink.emulator.pytest_plugin;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = json.loads(run("-c", code).stdout)
    assert not {"av", "uvicorn", "starlette", "httpx", "airflow", "jsonschema"} & set(loaded)


def test_emulator_never_imports_airflow():
    """An emulator runs without importing Airflow."""
    code = (
        "import sys; from airflow_provider_evolink.emulator import running\n"
        "with running() as emulator: emulator.control.state()\n"
        "print('airflow' in sys.modules)"
    )
    assert run("-c", code).stdout == "False\n"
