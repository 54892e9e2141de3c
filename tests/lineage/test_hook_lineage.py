# SPDX-License-Identifier: Apache-2.0
"""The lineage of hooks: reported if a plugin reads it, and otherwise at no cost. Each test has a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLUGIN = """
from importlib import import_module
from importlib.util import find_spec

from airflow_provider_evolink.compat import AirflowPlugin

lineage = import_module("airflow.sdk.lineage" if find_spec("airflow.sdk.lineage") else "airflow.lineage.hook")


class ReaderPlugin(AirflowPlugin):
    name = "reader"
    hook_lineage_readers = [lineage.HookLineageReader]
"""
WORK = """
import sys

from airflow_provider_evolink.compat import hook_lineage_collector
from airflow_provider_evolink.execution.announcement import Announcement
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.hooks.storage_file import StorageFile
from airflow_provider_evolink.landing.checkpoint import Landed

with StorageFile(sys.argv[1]).open() as picture:
    assert picture.read() == b"a picture"
file = Landed("file:///videos/a.mp4", 3, "0" * 64, "video/mp4", "task-unified-1-a", "mp4")
Announcement([], {}, EvoLinkHook()).add(file, {})
collector = hook_lineage_collector()
if collector is None:
    print("boto3" in sys.modules)
else:
    found = collector.collected_assets
    print([asset.asset.uri for assets in (found.inputs, found.outputs) for asset in assets])
"""


def work(folder: Path) -> str:
    """Read a picture and announce a file in a task's process, and return what it prints last.

    :param folder: of plugins, and of the picture.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder),
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
    }
    (folder / "a.png").write_bytes(b"a picture")
    command = [sys.executable, "-c", WORK, (folder / "a.png").as_uri()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_without_a_reader(tmp_path: Path) -> None:
    """Airflow's collector that keeps nothing imports boto3 all the same (3.3.2), so it is not even made."""
    assert work(tmp_path) == "False"


def test_with_a_reader(tmp_path: Path) -> None:
    """A plugin that reads the lineage of hooks gets each file, read or landed."""
    (tmp_path / "reader.py").write_text(PLUGIN)

    assert work(tmp_path) == f"['file://{tmp_path}/a.png', 'file:///videos/a.mp4']"
