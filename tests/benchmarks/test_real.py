"""What `make bench-airflow` makes of what it has measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.real.fan_out import Delay, FannedOut
from benchmarks.real.report import report_fan_out, report_waiting
from benchmarks.real.waiting import OURS, SLEEPING, Waited, events

PARTS = {"runner": 1.0, "supervisor": 2.0, "postgres": 3.0}
CASE = Waited(
    kind=SLEEPING,
    count=1000,
    take_up=10.0,
    cpu=PARTS,
    rss=PARTS,
    files={"runner": 10, "supervisor": 1010, "postgres": 7},
    requests=0,
    heartbeats=30,
    messages=0,
    lines=0,
    start_messages={},
)
RUN = FannedOut("success", 60.0, 8, (Delay(completed=10.0, fired=13.0, succeeded=15.0, landed=18.0),))


def test_goals_that_are_missed_are_said_to_be_missed() -> None:
    """A slower start, a message, a log line and a second look-up each make their goal a False."""
    ours = replace(CASE, kind=OURS, take_up=12.0, messages=1, lines=2, start_messages={"GetConnection": 2})

    text = report_waiting([CASE, ours])

    assert text.count("| False |") == 4
    assert "| 1.20 (medians) | False |" in text


def test_goals_that_are_met_are_said_to_be_met() -> None:
    """No message, no line, one look-up and an equal start meet all goals."""
    text = report_waiting([CASE, replace(CASE, kind=OURS, start_messages={"GetConnection": 1, "MaskSecret": 1})])

    assert text.count("| True |") == 4
    assert "False" not in text


def test_delays_are_told_step_by_step() -> None:
    """The way from EvoLink's end to the landed file is split into what asking takes and what Airflow takes."""
    text = report_fan_out(RUN)

    assert "| completed -> the trigger fires | 3.0 | 3.0 | 3.0 |" in text
    assert "| the trigger fires -> the task succeeds | 2.0 | 2.0 | 2.0 |" in text


def test_a_log_is_read_past_lines_that_are_none(tmp_path: Path) -> None:
    """What is not one of Airflow's JSON lines, as the end of a line being written, is left out."""
    log = tmp_path / "log"
    log.write_text(json.dumps({"timestamp": "1970-01-01T00:00:02Z", "event": "trigger a starting"}) + '\n{"timest')

    assert list(events(log)) == [(2.0, "trigger a starting")]
