# SPDX-License-Identifier: Apache-2.0
"""Writes the findings of a run as a page. Pure: figures in, Markdown out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.batch.cases import BARE, BATCH, IDLE, TITLES, Case, Sizes
from benchmarks.batch.goals import Found, of_batch, of_large, of_own_work, of_single
from benchmarks.batch.measured import AIRFLOW, DATABASE, SCRIPT, Figures, Measured, figures_of, medians_of
from benchmarks.goals import Goal
from benchmarks.report import facts_table, goal_table
from benchmarks.tables import markdown, number

_HEADS = [
    "<contender", "N", "landed", "per second", "CPU s each", "with idling", "PostgreSQL", "workers and triggerer s",
    "task processes", "completed to landed s", "p99", "peak MiB", "task state written", "asset state written",
    "paid requests each",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Everything that a run has measured.

    :param facts: facts about the machine and the run, by name.
    :param sizes: how much was measured.
    :param found: the medians.
    :param measured: all measurements, in order.
    """

    facts: Mapping[str, str]
    sizes: Sizes
    found: Found
    measured: Sequence[Measured]

    @property
    def goals(self) -> list[Goal]:
        """All goals; those whose figures the run lacks are missed."""
        count, mapped = self.sizes.count, self.sizes.mapped
        goals = [*of_batch(self.found, count, mapped), *of_own_work(self.found, count), *of_single(self.found, mapped)]
        return goals + (of_large(self.found, count) if self.sizes.has_large else [])


def medians(measured: Sequence[Measured]) -> dict[Case, Figures]:
    """Return the medians of each case over the rounds; each round has an idle Airflow of its own to compare with."""
    idle = {row.number: row for row in measured if row.contender == IDLE}
    by_case: dict[Case, list[Figures]] = {}
    for row in measured:
        if row.contender != IDLE:
            by_case.setdefault(_case(row), []).append(figures_of(row, idle[row.number]))
    return {case: medians_of(rounds) for case, rounds in by_case.items()}


def page(run: Run) -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION, facts_table(run.facts), "## Goals", goal_table(run.goals)]
    parts += ["## All contenders", _EXPLAINED, case_table(run.found)]
    parts += ["## CPU seconds by part", _PARTS_EXPLAINED, part_table(run.measured)]
    return "\n\n".join(parts) + "\n"


def case_table(found: Found) -> str:
    """Return the medians of all cases."""
    cases = sorted(found, key=lambda case: (list(TITLES).index(case.contender), case.count, case.window))
    return markdown(_HEADS, [_row(case, found[case]) for case in cases])


def _row(case: Case, figures: Figures) -> list[str]:
    return [
        _title(case),
        f"{case.count:,}",
        "all" if figures.landed == 1 else f"{figures.landed:.1%}",
        number(figures.per_second),
        number(figures.cpu_each, 4),
        number(figures.gross_each, 4),
        "" if case.contender == BARE else number(figures.postgres_each, 4),
        number(figures.working, 1),
        "" if case.contender == BARE else f"{figures.starts:,.0f}",
        number(figures.delay, 1),
        number(figures.delay_p99, 1),
        number(figures.peak_mib, 0),
        number(figures.task_writes_each, 3),
        number(figures.asset_writes_each, 3),
        number(figures.submissions_each, 3),
    ]


def part_table(measured: Sequence[Measured]) -> str:
    """Return the CPU seconds of each part as measured, medians over the rounds."""
    parts = [*AIRFLOW, DATABASE]
    rows: dict[Case, list[Measured]] = {}
    for row in measured:
        if SCRIPT not in (row.cpu or {}):
            rows.setdefault(_case(row), []).append(row)
    heads = ["<contender", "N", "seconds", *parts]
    return markdown(heads, [_part_row(case, rounds, parts) for case, rounds in rows.items()])


def _part_row(case: Case, rounds: Sequence[Measured], parts: Sequence[str]) -> list[str]:
    cpu = [statistics.median((row.cpu or {}).get(part, 0.0) for row in rounds) for part in parts]
    elapsed = statistics.median(row.elapsed for row in rounds)
    return [_title(case), f"{case.count:,}", f"{elapsed:.0f}", *(f"{used:.1f}" for used in cpu)]


def _case(row: Measured) -> Case:
    return Case(row.contender, row.count, row.window)


def _title(case: Case) -> str:
    return TITLES[case.contender] + (f", window of {case.window:,}" if case.contender == BATCH else "")


_INTRODUCTION = """# What a landed generation costs

Written by `make bench-batch`, not by hand."""

_EXPLAINED = """All run on the same Airflow, one after the other, round after round: api-server, scheduler, triggerer,
LocalExecutor with Airflow's default of 32 slots and 16 active tasks for each DAG, and PostgreSQL, all on one core;
EvoLink is a stub on the other. The dag-processor is stopped once it has read the DAGs. The CPU of Airflow is that of
api-server, scheduler, triggerer and workers with everything they have started, ended processes included, from the
trigger of the DAG run until 2 s after its end, less what an idle Airflow uses in the same time; *with idling* is before
that subtraction. PostgreSQL has a column of its own and is in no other. *Per second* counts from the start of the DAG
run to the last landed file, waiting for EvoLink included. Mapped tasks are as many as the table says, which may be
fewer than the rows of a batch. *Completed to landed* is the median, and *p99* the 99th percentile, from the stub's end
of a generation to the moment when its file has its name, with all the others in progress; the rows with N = 1 show it
with nothing else to do. *Peak MiB* is that of the largest task process, sampled five times a second. *Written* are the
rows inserted or updated in Airflow's tables for task and for asset state, for each landed video. The bare script keeps
200 generations in progress, polls every 2 s with up to 50 ids in a request, downloads, hashes and writes the same
files; it has neither retries nor a ledger, and its CPU is that of its whole process. The SHA-256 of every file is
checked; only those that match count as landed."""

_PARTS_EXPLAINED = """As measured, without any subtraction. Workers are the LocalExecutor's, with the processes of their
tasks."""
