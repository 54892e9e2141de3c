"""Many runs, each at its own point, struck at the same moment: a crash hits whatever is going on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.crash.points import DEFERRED, Point
from tests.crash.run import Run
from tests.crash.stack import CrashStack
from tests.crash.table import Row
from tests.crash.verdict import Facts, complaints, complaints_about_a_stop, says_stopped, says_what_is_paid, untraceable
from tests.crash.victims import Victim
from tests.s3 import S3

Cell = tuple[Point, Victim]

_ARRIVAL_SECONDS = 180.0
_RECOVERY_SECONDS = 240.0
_POLL_SECONDS = 0.3


def play(
    stack: CrashStack, handles: Mapping[str, EmulatorHandle], s3: S3, cells: Sequence[Cell], folder: Path
) -> list[Row]:
    """
    Bring a run to the point of each cell, strike all of them, and judge what has become of them.

    :param handles: EvoLinks by connection id, at least as many as cells.
    :param s3: gets large results.
    :param folder: gets a folder for each run.
    """
    runs = {
        cell: Run(stack.api, handle, conn_id, cell[0], folder / f"{number}", s3, cell[1].wishes)
        for number, (cell, (conn_id, handle)) in enumerate(zip(cells, handles.items(), strict=False))
    }
    for run in runs.values():
        run.start()
    _bring_to_points(stack, list(runs.values()))
    struck_at = _strike(stack, runs)
    _wait(stack, list(runs.values()), Run.is_over, _RECOVERY_SECONDS)
    lost = _clear_stopped(stack, runs)
    for victim, struck in _by_victim(runs).items():
        victim.afterwards(stack, struck)
    return [_row(cell, run, struck_at[cell[1]], lost.get(cell, [])) for cell, run in runs.items()]


def _bring_to_points(stack: CrashStack, runs: Sequence[Run]) -> None:
    _wait_for_all(stack, runs, lambda run: run.is_at_halt)
    # Those whose answers are lost come last: they give up and go on within seconds.
    for run in sorted(runs, key=lambda run: bool(run.point.faults) and not run.point.needs_end):
        run.take_last_step()
        _wait_for_all(stack, [run], lambda run: run.is_at_point)


def _strike(stack: CrashStack, runs: Mapping[Cell, Run]) -> dict[Victim, float]:
    at = {}
    for victim, struck in _by_victim(runs).items():
        at[victim] = time.monotonic()
        victim.strike(stack, struck)
    for (_, victim), run in runs.items():
        run.may_end = not victim.stops
        if victim.lets_go:
            run.marks.let_go()
    return at


def _by_victim(runs: Mapping[Cell, Run]) -> dict[Victim, list[Run]]:
    return {victim: [run for cell, run in runs.items() if cell[1] is victim] for _, victim in runs}


def _clear_stopped(stack: CrashStack, runs: Mapping[Cell, Run]) -> dict[Cell, list[str]]:
    """Clear what a person has stopped, as who wants the result would; return what could not have been found."""
    stopped = {cell: run for cell, run in runs.items() if cell[1].stops}
    # What a trigger says when it is told to end belongs into the log of the try that was stopped.
    _wait(stack, list(stopped.values()), Run.trigger_has_left, _RECOVERY_SECONDS)
    lost = {cell: untraceable(run.facts()) for cell, run in stopped.items()}
    for run in stopped.values():
        run.may_end = True
        run.clear()
    _wait(stack, list(stopped.values()), Run.is_over, _RECOVERY_SECONDS)
    return lost


def _wait(stack: CrashStack, runs: Sequence[Run], is_there: Callable[[Run], bool], seconds: float) -> list[Run]:
    """Wait until all runs are there, or too long; return those that are not."""
    end = time.monotonic() + seconds
    waiting = list(runs)
    while waiting and time.monotonic() < end:
        stack.revive()
        for run in runs:
            run.push_on()
        waiting = [run for run in waiting if not is_there(run)]
        time.sleep(_POLL_SECONDS)
    return waiting


def _wait_for_all(stack: CrashStack, runs: Sequence[Run], is_there: Callable[[Run], bool]) -> None:
    late = [f"{run.point.name}: {run.tasks()}" for run in _wait(stack, runs, is_there, _ARRIVAL_SECONDS)]
    assert not late, f"never came to their points: {late}"


def _row(cell: Cell, run: Run, struck_at: float, lost: Sequence[str]) -> Row:
    facts = run.facts()
    return Row(
        point=cell[0].name,
        victim=cell[1].name,
        charges=facts.charges,
        landed=facts.landed,
        seconds=None if run.ended_at is None else run.ended_at - struck_at,
        tries=len(run.tries(cell[0].task)),
        complaints=(*lost, *_judge(cell, facts)),
    )


def _judge(cell: Cell, facts: Facts) -> list[str]:
    point, victim = cell
    found = complaints_about_a_stop(facts) if point.would_rather_stop else complaints(facts)
    if victim.moves and not point.on_worker and says_stopped(facts):
        found.append("the log says that the task was stopped, which it was not")
    if victim.stops and point is DEFERRED and not says_what_is_paid(facts):
        found.append("the log does not say what stays paid for, though the task was stopped")
    return found
