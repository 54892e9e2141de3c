# SPDX-License-Identifier: Apache-2.0
"""The goals for a landed generation, and whether a run meets them. Pure.

A figure that was not measured misses its goal.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.batch.cases import BARE, BATCH, GROUP, LARGE_COUNT, LARGE_WINDOW, SINGLE, WINDOW, Case
from benchmarks.batch.measured import Figures
from benchmarks.goals import Goal

# The medians.
Found = Mapping[Case, Figures]


def of_batch(found: Found, count: int, mapped: int) -> list[Goal]:
    """Return the goals of a batch, on its own and against the mapped group.

    :param count: number of rows of the batch.
    :param mapped: number of videos of the group.
    """
    batch, group = Case(BATCH, count), Case(GROUP, mapped)
    where, against = f"N = {count:,}", f"N = {count:,}, group of {mapped:,}"
    cpu, speed = _relative(found, "cpu_each", batch, group), _relative(found, "per_second", batch, group)
    stores = {"": "task_writes_each", "'s copy": "asset_writes_each"}
    return [
        Goal("CPU of Airflow for each landed video, relative to the group's", against, 1 / 50, cpu),
        Goal("CPU seconds of Airflow for each landed video", where, 0.03, _figure(found, batch, "cpu_each")),
        Goal("landed per second, relative to the group's", against, 20.0, speed, is_minimum=True),
        Goal("task processes started", f"{where}, window of {WINDOW}", 12.0, _figure(found, batch, "starts")),
        *(
            Goal(f"writes to the state store{which} for each landed video", where, 0.1, _figure(found, batch, figure))
            for which, figure in stores.items()
        ),
    ]


def of_own_work(found: Found, count: int) -> list[Goal]:
    """Return the goals for what workers and triggerer use, without Airflow's fixed cost, against the bare script.

    The fixed cost is what a batch of one row uses, whose two task processes submit and land. So a batch is compared
    whose rows are all in progress at once, as those of a small window need a task process for every half of it.

    :param count: number of rows of batch and script.
    """
    batch, one_row = found.get(Case(BATCH, count, LARGE_WINDOW)), found.get(Case(BATCH, 1))
    script, where = _figure(found, Case(BARE, count), "working"), f"N = {count:,}, window of {LARGE_WINDOW:,}"
    above = batch.working - one_row.working if batch and one_row else None
    name = "CPU of workers and triggerer above that for one row, relative to the bare script's"
    return [Goal(name, where, 2.0, _ratio(above, script))]


def of_single(found: Found, mapped: int) -> list[Goal]:
    """Return the goals of one task with ``destination=`` against generate and transfer.

    :param mapped: number of videos of both.
    """
    single, group, where = Case(SINGLE, mapped), Case(GROUP, mapped), f"N = {mapped:,}"
    delay = _relative(found, "delay", single, group)
    against = "with `destination=`, relative to generate and transfer"
    return [
        Goal(f"CPU {against}", where, 0.7, _relative(found, "cpu_each", single, group)),
        Goal(f"seconds from completed to landed {against}", where, 0.6, delay),
    ]


def of_large(found: Found, count: int) -> list[Goal]:
    """Return the goals of the large batches.

    With a window of 200 most workers of both batches land and submit; with one of 1,000 those of the smaller batch do
    either.

    :param count: number of rows of the usual batch.
    """
    large, one_row = Case(BATCH, LARGE_COUNT, LARGE_WINDOW), _figure(found, Case(BATCH, 1), "peak_mib")
    above_one_row = _above(_figure(found, large, "peak_mib"), one_row)
    return [
        Goal("memory of the worker above that for one row, MiB", _at(LARGE_WINDOW), 64.0, above_one_row),
        *(_growth(found, count, window) for window in (WINDOW, LARGE_WINDOW)),
        Goal("share that has landed", _at(LARGE_WINDOW), 1.0, _figure(found, large, "landed"), is_minimum=True),
    ]


def _growth(found: Found, count: int, window: int) -> Goal:
    """Return the goal that more rows take no more memory."""
    peak, usual = (_figure(found, Case(BATCH, rows, window), "peak_mib") for rows in (LARGE_COUNT, count))
    name = f"memory of the worker above that for {count:,} rows, MiB"
    return Goal(name, _at(window), 0.0, _above(peak, usual))


def _at(window: int) -> str:
    return f"N = {LARGE_COUNT:,}, window of {window:,}"


def _figure(found: Found, case: Case, name: str) -> float | None:
    value: float | None = getattr(found[case], name) if case in found else None
    return value


def _relative(found: Found, name: str, case: Case, other: Case) -> float | None:
    return _ratio(_figure(found, case, name), _figure(found, other, name))


def _ratio(figure: float | None, other: float | None) -> float | None:
    return None if figure is None or not other else figure / other


def _above(figure: float | None, other: float | None) -> float | None:
    return None if figure is None or other is None else figure - other
