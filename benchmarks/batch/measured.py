# SPDX-License-Identifier: Apache-2.0
"""What is measured of one case, and the figures that follow from it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

# The parts of Airflow by what they do; PostgreSQL is counted, but apart.
AIRFLOW = ("api-server", "scheduler", "workers", "triggerer")
WORKING = ("workers", "triggerer")
DATABASE = "postgres"
# The only part of the bare script.
SCRIPT = "script"
# The tables of Airflow's state store.
TASK_STATE, ASSET_STATE = "task_state_store", "asset_state_store"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one case.

    :param contender: a key of :data:`benchmarks.batch.cases.TITLES`.
    :param count: number of videos.
    :param window: generations in progress at most, of contenders that limit them.
    :param number: of the round.
    :param landed: files with the right SHA-256.
    :param seconds: from the start of the DAG run or of the script to the last landed file.
    :param elapsed: seconds over which the CPU time was counted.
    :param cpu: CPU seconds of each part.
    :param starts: task processes started.
    :param retried: task instances that needed more than one try.
    :param delay: median seconds from EvoLink's completion to the landed file.
    :param delay_p99: 99th percentile of the same.
    :param peak_mib: peak memory of the largest task process, or of the script.
    :param writes: rows inserted into or updated in each table of Airflow's state store.
    :param requests: that EvoLink has received, by kind.
    """

    contender: str
    count: int
    window: int
    number: int
    landed: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0
    cpu: Mapping[str, float] | None = None
    starts: int = 0
    retried: int = 0
    delay: float | None = None
    delay_p99: float | None = None
    peak_mib: float | None = None
    writes: Mapping[str, int] | None = None
    requests: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a case costs; CPU seconds without what an idle Airflow uses in the same time.

    :param landed: share of the videos that have landed.
    :param cpu_each: CPU seconds of all Airflow processes, or of the script, for each landed video.
    :param gross_each: the same with what an idle Airflow uses.
    :param working: CPU seconds of workers and triggerer, or of the script, in total.
    :param postgres_each: CPU seconds of PostgreSQL for each landed video.
    :param per_second: landed videos.
    :param starts: task processes started.
    :param delay: median seconds from EvoLink's completion to the landed file.
    :param delay_p99: 99th percentile of the same.
    :param peak_mib: peak memory of the largest task process, or of the script.
    :param task_writes_each: rows written to the store of task state for each landed video.
    :param asset_writes_each: rows written to the store of asset state for each landed video.
    :param submissions_each: paid requests for each video.
    """

    landed: float
    cpu_each: float | None
    gross_each: float | None
    working: float
    postgres_each: float | None
    per_second: float | None
    starts: float
    delay: float | None
    delay_p99: float | None
    peak_mib: float | None
    task_writes_each: float | None
    asset_writes_each: float | None
    submissions_each: float


def figures_of(measured: Measured, idle: Measured) -> Figures:
    """Return the figures of one run.

    :param measured: the run.
    :param idle: an idle Airflow, in the same round.
    """
    gross = measured.cpu or {}
    net = gross if SCRIPT in gross else _without_idling(measured, idle)
    parts = [SCRIPT] if SCRIPT in gross else AIRFLOW
    landed = measured.landed
    return Figures(
        landed=landed / measured.count,
        cpu_each=_each(_sum(net, parts), landed),
        gross_each=_each(_sum(gross, parts), landed),
        working=_sum(net, [SCRIPT, *WORKING]),
        postgres_each=_each(net.get(DATABASE, 0.0), landed),
        per_second=landed / measured.seconds if landed else None,
        starts=measured.starts,
        delay=measured.delay,
        delay_p99=measured.delay_p99,
        peak_mib=measured.peak_mib,
        task_writes_each=_each((measured.writes or {}).get(TASK_STATE), landed),
        asset_writes_each=_each((measured.writes or {}).get(ASSET_STATE), landed),
        submissions_each=(measured.requests or {}).get("submissions", 0) / measured.count,
    )


def medians_of(figures: Sequence[Figures]) -> Figures:
    """Return the median of every figure over the rounds of one case."""
    return Figures(
        **{field.name: _median(getattr(one_round, field.name) for one_round in figures) for field in fields(Figures)}
    )


def _without_idling(measured: Measured, idle: Measured) -> dict[str, float]:
    idling = {part: used / idle.elapsed * measured.elapsed for part, used in (idle.cpu or {}).items()}
    return {part: used - idling.get(part, 0.0) for part, used in (measured.cpu or {}).items()}


def _sum(cpu: Mapping[str, float], parts: Iterable[str]) -> float:
    return sum(cpu.get(part, 0.0) for part in parts)


def _each(total: float | None, landed: int) -> float | None:
    return None if total is None or not landed else total / landed


def _median(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
