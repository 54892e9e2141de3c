# SPDX-License-Identifier: Apache-2.0
"""What the plugin with the tabs costs Airflow's processes, with it and without it in turn.

``make bench-gallery`` prints the CPU milliseconds of a process that has Airflow load all plugins, as every
process does, of an api-server until it is healthy, and of the first request to the gallery.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from airflow_provider_evolink.links.addresses import MOUNT
from benchmarks.tables import markdown, number
from testkit.environment import airflow_environment, free_port
from testkit.processes import Processes

ROUNDS, SERVER_ROUNDS = 5, 3
_SERVER = "api-server"
# Airflow has no setting that leaves out a plugin of an installed package.
_WITHOUT = """
import sys

if sys.version_info >= (3, 12):  # as Airflow does
    from importlib import metadata
else:
    import importlib_metadata as metadata

_all = metadata.Distribution.entry_points
_others = lambda self: [point for point in _all.fget(self) if not point.value.startswith("airflow_provider_evolink.ui")]
metadata.Distribution.entry_points = property(_others)
"""
_LOAD = """
import time
import {module} as plugins_manager

begun = time.process_time()
plugins, errors = plugins_manager._get_plugins()
loading, whole = time.process_time() - begun, time.process_time()
assert not errors and ("evolink" in [plugin.name for plugin in plugins]) is {has_plugin}
print(loading, whole)
"""
_START = """
import sys
from airflow.__main__ import main

sys.argv = ["airflow", "api-server"]
main()
"""
_CREATE_TABLES = "from airflow.utils.db import initdb; initdb()"
_PROCESSES = {
    "a worker, a triggerer": "airflow.sdk.plugins_manager",
    "a scheduler, a dag-processor": "airflow.plugins_manager",
}


@dataclass(frozen=True)
class Airflow:
    """An Airflow with a database of its own.

    :param home: its AIRFLOW_HOME.
    :param url: of its api-server.
    """

    home: Path
    url: str
    environment: Mapping[str, str]

    def run(self, program: str) -> str:
        """Run a Python program, and return its output."""
        command = [sys.executable, "-P", "-c", program]
        done = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return done.stdout

    @contextmanager
    def server(self, program: str) -> Iterator[int]:
        """Run a program that is an api-server; return its process id once it is healthy."""
        with Processes(self.home / "components") as processes:
            processes.start(_SERVER, [sys.executable, "-P", "-c", program], self.environment)
            processes.wait_until("the api-server", self._is_healthy, 120)
            yield processes.pid(_SERVER)

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/monitor/health", timeout=30, trust_env=False).is_success
        except httpx.TransportError:
            return False


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="evolink-plugin-") as name:
        airflow = _airflow(Path(name))
        rows = [row for who, module in _PROCESSES.items() for row in _loading(airflow, who, module)]
        starts, first = _starts(airflow)
        rows.append(["an api-server: from its start until it is healthy", *starts])
        print(markdown(["CPU ms, median (least to most)", "without", "with", "with / without"], rows))
        print(f"\nThe first request to the gallery: {first} CPU ms")


def _airflow(home: Path) -> Airflow:
    dags, port = home / "dags", free_port()
    dags.mkdir()
    airflow = Airflow(home, f"http://127.0.0.1:{port}", airflow_environment(home, dags, port))
    airflow.run(_CREATE_TABLES)
    return airflow


def _loading(airflow: Airflow, who: str, module: str) -> Iterator[list[str]]:
    """Measure a process that imports Airflow and has it load the plugins, and the loading alone."""
    taken: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for has_plugin, figures in taken.items():
            program = _LOAD.format(module=module, has_plugin=has_plugin)
            output = airflow.run(program if has_plugin else _WITHOUT + program)
            figures.append([float(seconds) * 1000 for seconds in output.splitlines()[-1].split()])
    for column, what in enumerate(("loading all plugins", "from its start until then")):
        yield [f"{who}: {what}", *_compared({has: [row[column] for row in rows] for has, rows in taken.items()})]


def _starts(airflow: Airflow) -> tuple[list[str], str]:
    """Measure api-servers until they are healthy, and the first request to the gallery of those that have it."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    first = []
    for _ in range(SERVER_ROUNDS):
        for has_plugin, figures in taken.items():
            with airflow.server(_START if has_plugin else _WITHOUT + _START) as pid:
                figures.append(_cpu(pid))
                # Airflow answers whatever it does not know with its own page.
                answer = httpx.get(f"{airflow.url}/{MOUNT}/static/gallery.js", timeout=60, trust_env=False)
                if ("javascript" in answer.headers["content-type"]) is not has_plugin:
                    raise SystemExit(f"The gallery has answered {answer.status_code}: {answer.text[:200]}")
                if has_plugin:
                    first.append(_cpu(pid) - figures[-1])
    return _compared(taken), _figure(first)


def _cpu(pid: int) -> float:
    """Return the CPU milliseconds of a process and its children."""
    process = psutil.Process(pid)
    times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times) * 1000


def _compared(taken: Mapping[bool, list[float]]) -> list[str]:
    without, with_plugin = taken[False], taken[True]
    ratio = statistics.median(with_plugin) / statistics.median(without)
    return [_figure(without), _figure(with_plugin), number(ratio, 2)]


def _figure(figures: list[float]) -> str:
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


if __name__ == "__main__":
    main()
