# SPDX-License-Identifier: Apache-2.0
"""Report metrics through Airflow's own stats: StatsD, Datadog or OpenTelemetry, as ``[metrics]`` configures them."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterable

from airflow_provider_evolink.compat import conf, metrics_sender
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.submission.measures import (
    BYTES_LANDED,
    METRICS,
    Measure,
    measure,
    measures_of_change,
)
from airflow_provider_evolink.submission.record import LedgerRecord

log = logging.getLogger(__name__)

_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def report_change(before: LedgerRecord | None, after: LedgerRecord, credits_used: float | None) -> None:
    """Report what has happened between two records of a ledger; see :func:`measures_of_change`."""
    if _are_on():
        _report(measures_of_change(before, after, credits_used=credits_used, now=time.time()))


def report_landed(result: Result, landed: Landed) -> None:
    """Report a file that was written."""
    if _are_on():
        _report([measure(BYTES_LANDED, landed.bytes, result.model)])


@functools.cache
def _are_on() -> bool:
    # Without this, Airflow would read a list of its own metrics first.
    return any(conf.getboolean("metrics", switch, fallback=False) for switch in _SWITCHES)


@functools.cache
def _have_long_names() -> bool:
    return conf.getboolean("metrics", "legacy_names_on", fallback=True)


def _report(measures: Iterable[Measure]) -> None:
    """Report numbers; no error of a metrics system may reach a task that has just paid."""
    try:
        for each in measures:
            _send(each)
    except Exception as error:
        log.warning("A metric could not be reported (%s).", error)


def _send(each: Measure) -> None:
    sender = metrics_sender()
    is_timer = METRICS[each.name].kind == "timer"
    for name, tags in ((each.name, dict(each.tags)), *([(each.long_name, None)] if _have_long_names() else [])):
        if is_timer:
            sender.timing(name, each.value, tags=tags)
        else:
            # Airflow's signature has int, but every backend takes any number, and credits have decimals.
            sender.incr(name, each.value, tags=tags)
