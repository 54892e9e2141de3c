# SPDX-License-Identifier: Apache-2.0
"""Runs many DAG runs, each to its own failpoint, and disrupts all of them at the same moment, as a real crash would."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.s3 import S3
from tests.crash.batch_run import BatchRun
from tests.crash.failpoints import Failpoint
from tests.crash.run import Findings, OneTaskRun, Run
from tests.crash.stack import CrashStack
from tests.crash.table import Row
from tests.crash.targets import Target

Cell = tuple[Failpoint, Target]
RUNS: Mapping[str, type[Run]] = {"crash": Run, "crash_one_task": OneTaskRun, "crash_batch": BatchRun}

_ARRIVAL_SECONDS = 180.0
_RECOVERY_SECONDS = 240.0
_POLL_SECONDS = 0.3


def run_cells(
    stack: CrashStack, handles: Mapping[str, EmulatorHandle], s3: S3, cells: Sequence[Cell], folder: Path
) -> list[Row]:
    """Bring one run to the failpoint of each cell, disrupt all of them, and check what became of them.

    :param stack: their Airflow.
    :param handles: EvoLinks by connection id, at least as many as cells.
    :param s3: receives large results.
    :param cells: failpoints with their targets.
    :param folder: receives a folder for each run.
    """
    runs = {
        cell: RUNS[cell[0].dag](stack.api, handle, conn_id, cell[0], folder / f"{number}", s3, cell[1].arguments)
        for number, (cell, (conn_id, handle)) in enumerate(zip(cells, handles.items(), strict=False))
    }
    for run in runs.values():
        run.start()
    _bring_to_failpoints(stack, list(runs.values()))
    disrupted_at = _disrupt(stack, runs)
    _wait(stack, list(runs.values()), Run.is_over, _RECOVERY_SECONDS)
    lost = _clear_stopped(stack, runs)
    for target, disrupted in _by_target(runs).items():
        target.afterwards(stack, disrupted)
    return [_row(cell, run, disrupted_at[cell[1]], lost.get(cell, [])) for cell, run in runs.items()]


def _bring_to_failpoints(stack: CrashStack, runs: Sequence[Run]) -> None:
    _wait_for_all(stack, runs, lambda run: run.is_halted)
    # Runs whose response is lost come last: they time out and continue within seconds.
    for run in sorted(runs, key=lambda run: bool(run.failpoint.faults) and not run.failpoint.needs_end):
        run.proceed_to_failpoint()
        _wait_for_all(stack, [run], lambda run: run.is_at_failpoint)


def _disrupt(stack: CrashStack, runs: Mapping[Cell, Run]) -> dict[Target, float]:
    at = {}
    for target, disrupted in _by_target(runs).items():
        at[target] = time.monotonic()
        target.disrupt(stack, disrupted)
    for (_, target), run in runs.items():
        run.may_end = not target.ends_run
        if target.releases:
            run.checkpoints.release()
    return at


def _by_target(runs: Mapping[Cell, Run]) -> dict[Target, list[Run]]:
    return {target: [run for cell, run in runs.items() if cell[1] is target] for _, target in runs}


def _clear_stopped(stack: CrashStack, runs: Mapping[Cell, Run]) -> dict[Cell, list[str]]:
    """Clear the runs that a user has stopped, to get the result after all; return what was untraceable before."""
    stopped = {cell: run for cell, run in runs.items() if cell[1].ends_run}
    # The message of a stopped trigger belongs in the log of the attempt that was stopped.
    _wait(stack, list(stopped.values()), Run.trigger_has_left, _RECOVERY_SECONDS)
    lost = {cell: run.facts().untraceable() for cell, run in stopped.items()}
    for run in stopped.values():
        run.may_end = True
        run.clear()
    _wait(stack, list(stopped.values()), Run.is_over, _RECOVERY_SECONDS)
    return lost


def _wait(stack: CrashStack, runs: Sequence[Run], is_there: Callable[[Run], bool], seconds: float) -> list[Run]:
    """Wait until all runs satisfy a condition or the time is up; return those that do not."""
    end = time.monotonic() + seconds
    waiting = list(runs)
    while waiting and time.monotonic() < end:
        stack.restart_dead()
        for run in runs:
            run.advance_evolink()
        waiting = [run for run in waiting if not is_there(run)]
        time.sleep(_POLL_SECONDS)
    return waiting


def _wait_for_all(stack: CrashStack, runs: Sequence[Run], is_there: Callable[[Run], bool]) -> None:
    late = [f"{run.failpoint.name}: {run.tasks()}" for run in _wait(stack, runs, is_there, _ARRIVAL_SECONDS)]
    assert not late, f"never reached their failpoints: {late}"


def _row(cell: Cell, run: Run, disrupted_at: float, lost: Sequence[str]) -> Row:
    facts = run.facts()
    return Row(
        failpoint=cell[0].name,
        target=cell[1].name,
        charges=facts.charges,
        landed=facts.landed,
        seconds=None if run.ended_at is None else run.ended_at - disrupted_at,
        tries=len(run.tries(cell[0].task)),
        violations=(*lost, *_judge(cell, facts)),
    )


def _judge(cell: Cell, facts: Findings) -> list[str]:
    failpoint, target = cell
    found = facts.violations()
    if target.moves_trigger and not failpoint.on_worker and facts.reports_stop():
        found.append("the log reports a stopped task, but the task was not stopped")
    if target.ends_run and failpoint.halt == "waiting" and not facts.reports_charge():
        found.append("the task was stopped, but the log does not report what stays paid for")
    return found
