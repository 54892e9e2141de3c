# SPDX-License-Identifier: Apache-2.0
"""The environment of child processes: nothing of the developer's own Airflow, Python or keys leaks in."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import sys
from pathlib import Path

# Without its bytecode, every process would compile this package anew: a quarter of what a task costs.
_BYTECODE = "PYTHONDONTWRITEBYTECODE"
_FOREIGN = ("AIRFLOW", "EVOLINK_", "PYTEST_", "COV_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", _BYTECODE)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without anything that would change a child's behavior or expose an API key."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }


def airflow_environment(home: Path, dags_folder: Path, port: int, path: str = "") -> dict[str, str]:
    """Return the environment of all components of one Airflow, with fresh secrets.

    :param home: its AIRFLOW_HOME.
    :param dags_folder: folder of its DAG files.
    :param port: port of its api-server on the loopback address.
    :param path: below which the api-server serves, such as ``/airflow``.
    """
    url = f"http://127.0.0.1:{port}{path}"
    return clean_environment() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",  # a scheduled example must not spend money unasked
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # no login on the loopback address
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # With the default of 5 s the scheduler of Airflow 3.1 dies on a busy machine.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        # The first request to the execution API takes longer than the default limit of 5 s.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def free_port() -> int:
    """Return a free TCP port of the loopback address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
