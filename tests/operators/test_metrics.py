# SPDX-License-Identifier: Apache-2.0
"""Metrics reach StatsD and OpenTelemetry through Airflow's own stats, and count every fact once."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.compat import metrics_sender
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution import metrics
from airflow_provider_evolink.submission.measures import METRICS, Measure, measure, measures_of_change
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from tests.operators.submissions import TEXT

ROOT = Path(__file__).parents[2]
MODEL = TEXT


def run_tasks(emulator: EmulatorHandle, folder: Path, **config: str) -> dict[str, float]:
    """Run the tasks in a process with this configuration of Airflow, and return what they have done."""
    environment = {**os.environ, "EMULATOR_URL": emulator.url, "NO_PROXY": "*"}
    environment |= {f"AIRFLOW__METRICS__{name.upper()}": value for name, value in config.items()}
    done = subprocess.run(
        [sys.executable, "-m", "tests.operators.reporting_tasks", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


@contextmanager
def udp_listener() -> Iterator[tuple[int, list[str]]]:
    """A StatsD server on loopback: its port, and the lines that have arrived."""
    lines: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.3)
        is_over = threading.Event()

        def receive() -> None:
            while True:
                try:
                    lines.extend(server.recv(65_536).decode().splitlines())
                except TimeoutError:
                    if is_over.is_set():
                        return

        thread = threading.Thread(target=receive)
        thread.start()
        try:
            yield server.getsockname()[1], lines
        finally:
            is_over.set()
            thread.join()


def sums(lines: list[str]) -> dict[str, float]:
    """Add up the counters, and count the timings, by name."""
    totals: dict[str, float] = defaultdict(float)
    for line in lines:
        name, value, kind = re.fullmatch(r"(.+):([-\d.e+]+)\|(c|ms)", line).groups()  # type: ignore[union-attr]
        totals[name] += float(value) if kind == "c" else 1
    return totals


def check(totals: dict[str, float], facts: dict[str, float], name: str) -> None:
    """Compare what was reported with what EvoLink has counted and what is on disk."""
    assert totals[name.format("submissions")] == facts["submissions"] == 6
    assert totals[name.format("completions")] == totals[name.format("generation_duration")] == facts["completions"] == 5
    assert totals[name.format("credits_reserved")] == pytest.approx(facts["reserved"])
    assert totals[name.format("credits_used")] == pytest.approx(facts["used"])
    assert totals[name.format("bytes_landed")] == facts["bytes"] > 0


def test_statsd(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A StatsD server gets each fact once, with the model in a name of its own, and nothing else of ours."""
    with udp_listener() as (port, lines):
        facts = run_tasks(emulator, tmp_path, statsd_on="True", statsd_host="127.0.0.1", statsd_port=str(port))

    totals = sums([line for line in lines if ".evolink." in line])
    check(totals, facts, "airflow.evolink.{}")
    check(totals, facts, f"airflow.evolink.{{}}.{MODEL}")
    assert totals["airflow.evolink.failures"] == totals[f"airflow.evolink.failures.{MODEL}.service_error"] == 1
    assert {name.split(".")[2] for name in totals} == {name.split(".")[1] for name in METRICS}
    assert emulator.api_key not in "".join(lines)
    assert "Row 0" not in "".join(lines)


def test_statsd_with_tags(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """Where tags are on, and the names that Airflow calls legacy are off, the model is a tag only."""
    with udp_listener() as (port, lines):
        facts = run_tasks(
            emulator, tmp_path, statsd_on="True", statsd_port=str(port), statsd_host="127.0.0.1",
            statsd_influxdb_enabled="True", legacy_names_on="False",
        )  # fmt: skip

    totals = sums([line for line in lines if ".evolink." in line])
    check(totals, facts, f"airflow.evolink.{{}},model={MODEL}")
    assert totals[f"airflow.evolink.failures,model={MODEL},code=service_error"] == 1
    assert len(totals) == len(METRICS)


def exported(bodies: list[bytes]) -> Iterator[Any]:
    """Yield the metrics that an OpenTelemetry collector has got."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    for body in bodies:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                yield from scope.metrics


def test_open_telemetry(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """An OpenTelemetry collector gets each fact once, with the model as an attribute."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        host, port = str(server.server_address[0]), str(server.server_address[1])
        facts = run_tasks(emulator, tmp_path, otel_on="True", otel_host=host, otel_port=port, legacy_names_on="False")
    finally:
        server.shutdown()
        server.server_close()

    totals: dict[str, float] = {}
    for each in exported(bodies):  # cumulative: the last counts
        for point in each.sum.data_points:
            totals[each.name] = point.as_double or point.as_int
            assert {pair.key: pair.value.string_value for pair in point.attributes}["model"] == MODEL
        for histogram in each.exponential_histogram.data_points:
            totals[each.name] = histogram.count
        for newest in each.gauge.data_points:  # of Airflow before 3.3, which can't be counted
            assert newest.as_double > 0
            totals[each.name] = facts["completions"]
    check(totals, facts, "airflow.evolink.{}")


def test_nothing_is_done_where_stats_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stats off, nothing is worked out, and Airflow's list of metrics is not read."""
    metrics._are_on.cache_clear()
    monkeypatch.setattr(metrics, "_report", lambda _: pytest.fail("reported"))

    metrics.report_change(None, record(Phase.INTENT), None)


def record(phase: Phase, **fields: Any) -> LedgerRecord:
    """Return a record of the ledger."""
    return LedgerRecord(phase, "print", "key", 1, fields.pop("model", "m.1"), 0.0, "task-1", 100.0, **fields)


def names(before: Phase | None, after: LedgerRecord) -> list[str]:
    """Return the names of what a change means."""
    known = None if before is None else record(before)
    return [each.name.split(".")[1] for each in measures_of_change(known, after, credits_used=None, now=160.0)]


@pytest.mark.parametrize("after", list(Phase))
@pytest.mark.parametrize("before", [None, *Phase])
def test_only_steps_forward_count(before: Phase | None, after: Phase) -> None:
    """A record that is written again, restored or withdrawn counts as nothing."""
    steps = {
        (Phase.INTENT, Phase.SUBMITTED): ["submissions"],
        (Phase.SUBMITTED, Phase.FINISHED): ["completions", "generation_duration"],
        (Phase.SUBMITTED, Phase.FAILED): ["failures"],
    }

    assert names(before, record(after)) == steps.get((before, after), [])  # type: ignore[arg-type]


def test_a_restored_record_counts_as_nothing() -> None:
    """After a submission that was rejected, the record that it was to replace is written again."""
    rejected, restored = record(Phase.INTENT), replace(record(Phase.SUBMITTED), idempotency_key="another")

    assert list(measures_of_change(rejected, restored, credits_used=None, now=160.0)) == []


def test_a_failure_that_was_charged() -> None:
    """What EvoLink keeps for a failed generation counts as used; an unknown code counts as other."""
    failed = record(Phase.FAILED, was_charged=True, credits_reserved=7.5, error_code="sk-secret")

    assert list(measures_of_change(record(Phase.SUBMITTED), failed, credits_used=None, now=1.0)) == [
        Measure("evolink.failures", 1, {"model": "m.1", "code": "other"}),
        Measure("evolink.credits_used", 7.5, {"model": "m.1"}),
    ]


@pytest.mark.parametrize("model", ["a b,c=ü|x:1\n", "", "x" * 500, "seedance-1.5-pro", "../a"])
def test_names_are_safe(model: str) -> None:
    """A model's name becomes one part of a name that StatsD and OpenTelemetry take."""
    reported = measure("evolink.submissions", 1, model)

    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", reported.tags["model"])
    assert re.fullmatch(r"evolink\.submissions\.[A-Za-z0-9_-]{1,200}", reported.long_name)


def test_a_broken_metrics_system_breaks_no_task(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """An error while reporting is a warning."""
    monkeypatch.setattr(metrics, "_are_on", lambda: True)
    monkeypatch.setattr(metrics_sender(), "incr", lambda *_, **__: 1 / 0)

    metrics.report_change(record(Phase.INTENT), record(Phase.SUBMITTED), None)

    assert "could not be reported" in caplog.text
