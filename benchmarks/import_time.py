# SPDX-License-Identifier: Apache-2.0
"""What importing this package adds to importing Airflow, since DAG files are parsed all the time.

Each round starts a fresh interpreter for each module, which imports Airflow's SDK first and then the module, and times
both. Run it with ``python -m benchmarks.import_time``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 5
MODULES = [
    "airflow_provider_evolink.get_provider_info",
    "airflow_provider_evolink.hooks.evolink",
    "airflow_provider_evolink.operators.evolink",
    "airflow_provider_evolink.triggers.evolink",
    "airflow_provider_evolink.sensors.evolink",
    "airflow_provider_evolink.transfers.evolink_to_object_storage",
    "airflow_provider_evolink.links.evolink",
    "airflow.providers.http.operators.http",
]
_PROGRAM = """
import time
start = time.process_time()
from airflow.sdk import DAG, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, ObjectStoragePath
middle = time.process_time()
import {module}
print(middle - start, time.process_time() - middle)
"""


def measure(module: str) -> tuple[float, float]:
    """Return the CPU seconds for importing Airflow's SDK and then the module in a fresh interpreter."""
    command = [sys.executable, "-c", _PROGRAM.format(module=module)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    airflow, ours = printed.splitlines()[-1].split()
    return float(airflow), float(ours)


def main() -> None:
    """Print the table."""
    taken: dict[str, list[tuple[float, float]]] = {module: [] for module in MODULES}
    for _ in range(ROUNDS):
        for module in MODULES:
            taken[module].append(measure(module))
    print(f"CPU ms, median of {ROUNDS} interleaved rounds")
    print(f"{'module':62} {'Airflow':>8} {'over it':>8} {'share':>7}")
    for module, rounds in taken.items():
        airflow, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{module:62} {airflow * 1000:8.0f} {ours * 1000:8.1f} {ours / airflow:7.1%}")


if __name__ == "__main__":
    main()
