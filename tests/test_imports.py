# SPDX-License-Identifier: Apache-2.0
"""Tests of what an import costs: every Airflow process imports the package, and most never use it."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_evolink

ROOT = Path(__file__).parent.parent
EXTRAS = {"drawing", "emulator"}
# Imported only where generations are polled.
LEFT_TO_THE_TRIGGERER = {"aiohttp_transport"}
# Imported only if OpenLineage's provider is there and asks.
LEFT_TO_OPENLINEAGE = {"airflow_provider_evolink.operators.openlineage"}
# Imported only by the api-server, at the first request for a landed file.
LEFT_TO_THE_API_SERVER = {f"airflow_provider_evolink.ui.{name}" for name in ("access", "app", "responses")}
HEAVY = {
    "PIL", "aiohttp", "av", "boto3", "botocore", "fastapi", "fsspec.implementations.http", "google", "h2", "jsonschema",
    "multipart", "numpy", "openlineage", "pandas", "pytest", "requests", "rich.progress", "s3fs", "sqlalchemy.orm",
    "starlette", "uvicorn",
}  # fmt: skip
# What DAG files import, and what only a running task needs.
DAG_AUTHORS = [
    f"airflow_provider_evolink.{name}"
    for name in ("operators.evolink", "operators.recover", "sensors.evolink", "transfers.evolink_to_object_storage")
]
LEFT_TO_TASKS = {
    "client", "coercion", "constraints", "json_values", "media", "poller", "request", "schema", "transports",
}  # fmt: skip
# Runs in its own process: imports the given modules and records forbidden calls and opened files.
PROBE = """
import importlib, json, sys
first, then = json.loads(sys.argv[1])
for name in first:
    importlib.import_module(name)
forbidden = ("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "os.system")
calls, read = [], []
def watch(event, arguments):
    if event in forbidden:
        calls.append(event)
    if event == "open" and str(arguments[0]).endswith((".json", ".pem", ".cfg")):
        read.append(str(arguments[0]))
sys.addaudithook(watch)
before = set(sys.modules)
for name in then:
    importlib.import_module(name)
print(json.dumps([sorted(set(sys.modules) - before), sorted(sys.modules), calls, read]))
"""


def modules(*parts: str) -> list[str]:
    """Return every module below a part of the package, without extras and what is left to one component."""
    path = Path(airflow_provider_evolink.__file__).parent.joinpath(*parts)
    prefix = ".".join(["airflow_provider_evolink", *parts, ""])
    found = {module.name for module in pkgutil.walk_packages([str(path)], prefix)}
    left_out = EXTRAS | LEFT_TO_THE_TRIGGERER
    found -= LEFT_TO_OPENLINEAGE | LEFT_TO_THE_API_SERVER
    return [name for name in sorted(found) if not left_out & set(name.split("."))]


def start(first: list[str], then: list[str]) -> subprocess.Popen[str]:
    """Start a process that imports the modules."""
    command = [sys.executable, "-c", PROBE, json.dumps([first, then])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def imported() -> dict[str, list[Any]]:
    """Return what importing the package adds to Airflow's SDK, and what its API and its metadata import."""
    running = {
        "all": start(["airflow.sdk"], modules()),
        "api": start([], modules("api")),
        "dag": start(["airflow.sdk"], DAG_AUTHORS),
        "commands": start(["airflow.cli.cli_config"], ["airflow_provider_evolink.cli.definition"]),
        "info": start([], ["airflow_provider_evolink.get_provider_info"]),
    }
    return {name: json.loads(process.communicate(timeout=120)[0].splitlines()[-1]) for name, process in running.items()}


def test_there_is_something_to_import() -> None:
    """The lists of modules are not empty, and every module that a DAG file must not import exists."""
    assert {"airflow_provider_evolink.operators.evolink", "airflow_provider_evolink.api.client"} <= set(modules())
    assert len(modules("api")) >= 8
    assert {part for name in modules() for part in name.split(".")} >= LEFT_TO_TASKS


def test_nothing_heavy(imported: dict[str, list[Any]]) -> None:
    """On top of Airflow's SDK, the package imports nothing heavy and no extra."""
    new = set(imported["all"][0])

    assert not {heavy for heavy in HEAVY if any(name == heavy or name.startswith(f"{heavy}.") for name in new)}


def test_a_dag_file_imports_no_validation(imported: dict[str, list[Any]]) -> None:
    """Parsing a DAG file imports neither what validates a request nor what sends it."""
    new = {
        part for name in imported["dag"][0] if name.startswith("airflow_provider_evolink.") for part in name.split(".")
    }

    assert not LEFT_TO_TASKS & new


def test_no_network_and_no_database(imported: dict[str, list[Any]]) -> None:
    """Importing opens no connection, starts no process, and reads neither the catalog nor a certificate."""
    _, _, calls, read = imported["all"]

    assert calls == []
    assert [path for path in read if "airflow_provider_evolink" in path or path.endswith(".pem")] == []


def test_the_api_imports_no_airflow(imported: dict[str, list[Any]]) -> None:
    """The API package can be imported without Airflow."""
    _, loaded, calls, _ = imported["api"]

    assert "airflow_provider_evolink.api.client" in loaded
    assert not [name for name in loaded if name.partition(".")[0] == "airflow"]
    assert calls == []


def test_the_commands_are_light(imported: dict[str, list[Any]]) -> None:
    """Every `airflow` command imports their definition, and with it nothing else of the package."""
    new = {name for name in imported["commands"][0] if name.startswith("airflow_provider_evolink")}

    assert "airflow_provider_evolink.cli.definition" in new
    assert new <= {f"airflow_provider_evolink{name}" for name in ("", ".cli", ".cli.definition", ".get_provider_info")}


def test_the_metadata_is_light(imported: dict[str, list[Any]]) -> None:
    """Every Airflow process reads the metadata, so it imports nothing but itself."""
    new = imported["info"][0]

    assert [name for name in new if name.startswith("airflow")] == [
        "airflow_provider_evolink",
        "airflow_provider_evolink.get_provider_info",
    ]
    assert "httpx" not in imported["info"][1]
