# SPDX-License-Identifier: Apache-2.0
"""Resolves the package, with its emulator, beside the versions that managed services pin; nothing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LISTS = PROJECT / "tests/data/constraints"
# Each list omits Airflow itself.
AIRFLOWS = ("3.2.1", "3.3.1")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def main() -> int:
    """Return 0 if it can be installed there with every Python; 1 after printing the conflicts."""
    pairs = [(airflow, python) for airflow in AIRFLOWS for python in PYTHONS]
    conflicts = {pair: _conflict(*pair) for pair in pairs}
    for (airflow, python), conflict in conflicts.items():
        verdict = f"can't be installed:\n{conflict}" if conflict else "can be installed"
        text = f"versions: beside what a service pins for Airflow {airflow}, on Python {python}: {verdict}"
        print(text, file=sys.stderr if conflict else None)
    return 1 if any(conflicts.values()) else 0


def _conflict(airflow: str, python: str) -> str:
    command = [
        str(Path(sys.executable).parent / "uv"), "pip", "compile", "pyproject.toml", "-", "--extra", "emulator",
        "--constraint", str(LISTS / f"mwaa-{airflow}.txt"), "--python-version", python, "--quiet",
    ]  # fmt: skip
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    done = subprocess.run(
        command,
        input=f"apache-airflow=={airflow}",
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=environment,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
