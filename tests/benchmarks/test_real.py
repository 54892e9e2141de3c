# SPDX-License-Identifier: Apache-2.0
"""The reports of `make bench-airflow`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.real.collecting import IN_TRIGGERER, ON_WORKER, Collected, report
from benchmarks.real.fan_out import Delay, FanOutResult
from benchmarks.real.report import report_fan_out, report_waiting
from benchmarks.real.waiting import OURS, SLEEPING, CaseResult, events

PARTS = {"runner": 1.0, "supervisor": 2.0, "postgres": 3.0}
CASE = CaseResult(
    kind=SLEEPING,
    count=1000,
    startup=10.0,
    cpu=PARTS,
    rss=PARTS,
    files={"runner": 10, "supervisor": 1010, "postgres": 7},
    requests=0,
    heartbeats=30,
    messages=0,
    lines=0,
    start_messages={},
)
RUN = FanOutResult("success", 60.0, 8, (Delay(completed=10.0, fired=13.0, succeeded=15.0, landed=18.0),))


def test_missed_goals_are_reported() -> None:
    """A slower start, a message, a log line and a second lookup each miss their goal."""
    ours = replace(CASE, kind=OURS, startup=12.0, messages=1, lines=2, start_messages={"GetConnection": 2})

    text = report_waiting([CASE, ours])

    assert text.count("| False |") == 4
    assert "| 1.20 (medians) | False |" in text


def test_met_goals_are_reported() -> None:
    """No message, no line, one lookup and an equal start meet all goals."""
    text = report_waiting([CASE, replace(CASE, kind=OURS, start_messages={"GetConnection": 1, "MaskSecret": 1})])

    assert text.count("| True |") == 4
    assert "False" not in text


def test_delays_are_reported_step_by_step() -> None:
    """The time from EvoLink's completion to the landed file is split into polling and Airflow's own steps."""
    text = report_fan_out(RUN)

    assert "| completed -> the trigger fires | 3.0 | 3.0 | 3.0 |" in text
    assert "| the trigger fires -> the task succeeds | 2.0 | 2.0 | 2.0 |" in text


def test_incomplete_log_lines_are_skipped(tmp_path: Path) -> None:
    """Lines that are not complete JSON, such as one being written, are skipped."""
    log = tmp_path / "log"
    log.write_text(json.dumps({"timestamp": "1970-01-01T00:00:02Z", "event": "trigger a starting"}) + '\n{"timest')

    assert list(events(log)) == [(2.0, "trigger a starting")]


def test_ends_of_sensors_are_compared_net_of_an_idle_airflow() -> None:
    """The table has medians of all rounds without what Airflow uses when idle, and the ratio of both ends."""
    idle = {"scheduler": 0.1, "triggerer": 0.05}
    found = [
        Collected(ON_WORKER, 12.0, 10.0, {"scheduler": 9.0, "triggerer": 0.5}),
        Collected(IN_TRIGGERER, 2.0, 10.0, {"scheduler": 1.0, "triggerer": 2.5}),
    ]

    text = report(idle, found)

    assert "| bench_on_worker | 12.0 (12.0) | 1.00 | 8.00 | 0.00 |" in text
    assert "| bench_in_triggerer | 2.0 (2.0) | 0.25 | 0.00 | 2.00 |" in text
    assert "CPU 4.0, seconds 6.0" in text
