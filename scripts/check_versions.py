# SPDX-License-Identifier: Apache-2.0
"""Resolves the package, with its emulator, beside the versions that a managed service pins; nothing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PINNED = PROJECT / "tests/data/constraints/mwaa-3.3.1.txt"
# The list omits Airflow itself.
AIRFLOW = "apache-airflow==3.3.1"
PYTHONS = ("3.11", "3.12", "3.13")


def main() -> int:
    """Return 0 if it can be installed there with every Python; 1 after printing the conflicts."""
    conflicts = {python: _conflict(python) for python in PYTHONS}
    for python, conflict in conflicts.items():
        verdict = f"can't be installed:\n{conflict}" if conflict else "can be installed"
        print(f"versions: beside {PINNED.stem} on Python {python}: {verdict}", file=sys.stderr if conflict else None)
    return 1 if any(conflicts.values()) else 0


def _conflict(python: str) -> str:
    command = [
        str(Path(sys.executable).parent / "uv"), "pip", "compile", "pyproject.toml", "-", "--extra", "emulator",
        "--constraint", str(PINNED), "--python-version", python, "--quiet",
    ]  # fmt: skip
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    done = subprocess.run(
        command, input=AIRFLOW, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False
    )
    return done.stderr.strip() if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
