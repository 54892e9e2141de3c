# SPDX-License-Identifier: Apache-2.0
"""What a reader has to know about the machine that a benchmark ran on."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil


def machine_facts(command: str, packages: Iterable[str]) -> dict[str, str]:
    """Return facts about a run that has just ended, by name.

    :param command: that started it.
    :param packages: whose versions matter.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"`{command}`",
        "machine": f"{_processor()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load when it ended": ", ".join(f"{load:.1f}" for load in psutil.getloadavg()),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name.removeprefix('apache-')} {version(name)}" for name in packages),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
