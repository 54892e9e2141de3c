# SPDX-License-Identifier: Apache-2.0
"""The pure parts of `make bench-batch`: the stub's account, the plan, figures, goals and the page."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.landing.media_types import identify
from benchmarks.batch import rows
from benchmarks.batch.account import CLIP, COUNTS_PATH, MEDIA_TYPE, TAKES_SECONDS, Account
from benchmarks.batch.cases import (
    BARE,
    BATCH,
    CONTENDERS,
    GROUP,
    IDLE,
    LARGE_COUNT,
    LARGE_WINDOW,
    SINGLE,
    Case,
    Sizes,
    plan,
    warm_up,
)  # fmt: skip
from benchmarks.batch.measured import (
    AIRFLOW,
    ASSET_STATE,
    DATABASE,
    SCRIPT,
    TASK_STATE,
    Measured,
    figures_of,
    medians_of,
)  # fmt: skip
from benchmarks.batch.peak_memory import PeakMemory
from benchmarks.batch.report import Run, medians, page
from benchmarks.bodies import MODEL
from testkit.environment import clean_environment
from testkit.processes import Processes

SIZES = Sizes(count=1000, mapped=100, rounds=2, has_large=True)
ORIGIN = "https://127.0.0.1:4433"
NOW = 1_764_000_000.0
NESTED = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}])"
TASK = "import time\nheld = bytearray(64 * 2**20)\nprint('held', flush=True)\ntime.sleep(60)"


def cpu(total: float, **others: float) -> Mapping[str, float]:
    """Return CPU seconds by part: a total for all of Airflow's, and those of single parts instead."""
    return {part: total / len(AIRFLOW) for part in AIRFLOW} | {DATABASE: 1.0} | others


def measured(case: Case, number: int) -> Measured:
    """Return one case of a run that meets all goals; its idle Airflow uses 0.01 CPU seconds a second and part."""
    blank = Measured(case.contender, case.count, case.window, number, landed=case.count, elapsed=10.0, seconds=10.0)
    blank = replace(blank, requests={"submissions": case.count}, writes={TASK_STATE: 30, ASSET_STATE: 30}, starts=2)
    figures = {
        IDLE: {"cpu": cpu(0.4), "landed": 0},
        GROUP: {"cpu": cpu(200.4), "seconds": 200.0, "delay": 10.0},
        SINGLE: {"cpu": cpu(120.4), "seconds": 100.0, "delay": 5.0},
        BATCH: {"cpu": cpu(20.4, workers=9.1, triggerer=1.1), "seconds": 50.0, "starts": 10, "peak_mib": 200.0},
        BARE: {"cpu": {SCRIPT: 5.0}},
    }[case.contender]
    if case.count == 1:
        figures |= {BATCH: {"cpu": cpu(2.4, workers=0.9, triggerer=0.3), "peak_mib": 150.0, "starts": 2}}.get(
            case.contender, {}
        )
    return replace(blank, **figures)  # type: ignore[arg-type]


def run_with(changes: Mapping[Case, dict[str, object]]) -> Run:
    """Return a run, with changes to the measurements of some cases."""
    found = [
        replace(measured(case, number), **changes.get(case, {}))  # type: ignore[arg-type]
        for number, case in plan(CONTENDERS, SIZES)
    ]
    return Run({"date": "2026-11-27"}, SIZES, medians(found), found)


def missed(run: Run) -> list[str]:
    """Return the names of the missed goals."""
    return [goal.name for goal in run.goals if not goal.is_met]


def respond(account: Account, path: str, body: object, now: float, method: str = "POST") -> dict[str, object]:
    """Return the JSON of a successful response."""
    status, text, _ = account.respond(method, path, json.dumps(body).encode(), now)
    assert status == 200
    found: dict[str, object] = json.loads(text)
    return found


def test_a_generation_completes_five_seconds_after_its_post() -> None:
    """Single reads and batch reads agree on the end, and the id in a file's name holds it."""
    account = Account(ORIGIN)
    name = str(respond(account, "/v1/videos/generations", {}, NOW)["id"])

    assert respond(account, f"/v1/tasks/{name}", None, NOW + 4.9, "GET")["status"] == "processing"
    ended = respond(account, f"/v1/tasks/{name}", None, NOW + TAKES_SECONDS, "GET")
    assert respond(account, "/v1/tasks/batch", {"task_ids": [name]}, NOW + TAKES_SECONDS)["data"] == [ended]
    assert rows.completed_at(f"/videos/SKU-1/{name}.mp4") == NOW + TAKES_SECONDS


def test_requests_are_counted_by_kind() -> None:
    """The account knows how often it was paid and how often it was asked; asking for the counts is not counted."""
    account = Account(ORIGIN)
    names = [respond(account, "/v1/videos/generations", {}, NOW)["id"] for _ in range(3)]
    respond(account, "/v1/tasks/batch", {"task_ids": names}, NOW)
    account.respond("GET", "/videos/2026/11/24/1_0.mp4", b"", NOW)

    expected = {"submissions": 3, "reads": 0, "batch reads": 1, "downloads": 1}
    assert [respond(account, COUNTS_PATH, None, NOW, "GET") for _ in range(2)] == [expected] * 2
    assert len(set(names)) == 3


def test_the_result_is_a_video_of_150_kb() -> None:
    """Landing takes the stub's result for what the stub calls it, by its first bytes."""
    found = identify(CLIP, None)
    assert found is not None
    assert (found.content_type, found.is_certain, len(CLIP)) == (MEDIA_TYPE, True, 150_000)


def test_rows_are_valid_and_have_keys_of_their_own() -> None:
    """The provider accepts each row, and its key is no parameter."""
    table = [json.loads(line) for line in rows.json_lines(3)]
    assert len({row.pop(rows.KEY) for row in table}) == 3
    assert table == [rows.parameters(number) for number in range(3)]
    assert prepare(MODEL, table[0]).warnings == ()


def test_a_file_without_an_id_tells_no_moment() -> None:
    """A manifest beside the videos is no video."""
    assert rows.completed_at("/videos/manifest.jsonl") is None


def test_rounds_are_interleaved() -> None:
    """Each round has an idle Airflow, one video and many of each contender; large batches come once, at the end."""
    numbers, cases = zip(*plan(CONTENDERS, SIZES), strict=True)
    one_round = [Case(IDLE, 0), *(Case(name, 1) for name in CONTENDERS)]
    one_round += [Case(GROUP, 100), Case(SINGLE, 100), Case(BATCH, 1000), Case(BARE, 1000)]
    one_round += [Case(BATCH, 1000, LARGE_WINDOW)]
    large = [Case(BATCH, LARGE_COUNT), Case(BATCH, LARGE_COUNT, LARGE_WINDOW)]
    assert list(cases) == [*one_round, *one_round, *large]
    assert numbers == (0,) * 10 + (1,) * 12


def test_a_part_of_the_contenders_can_run_alone() -> None:
    """A chosen contender brings its idle Airflow and nothing else, and the script needs no warm-up."""
    short = replace(SIZES, rounds=1)
    assert [case for _, case in plan([GROUP], short)] == [Case(IDLE, 0), Case(GROUP, 1), Case(GROUP, 100)]
    assert warm_up([GROUP, BARE]) == [Case(GROUP, 1)]


def test_what_an_idle_airflow_uses_is_subtracted() -> None:
    """CPU is that of the work: the idle Airflow's, for as long as the run took, is taken off; PostgreSQL is apart."""
    idle = Measured(IDLE, 0, 200, 0, elapsed=10.0, cpu=cpu(0.4, postgres=0.1))
    figures = figures_of(Measured(GROUP, 10, 200, 0, landed=10, seconds=20.0, elapsed=25.0, cpu=cpu(11.0)), idle)

    assert figures.cpu_each == pytest.approx(1.0)
    assert figures.gross_each == pytest.approx(1.1)
    assert figures.postgres_each == pytest.approx(0.075)
    assert figures.working == pytest.approx(5.0)
    assert figures.per_second == 0.5


def test_the_script_has_no_idle_airflow_to_subtract() -> None:
    """The script's CPU is that of its process, and it writes to no state store."""
    idle = Measured(IDLE, 0, 200, 0, elapsed=10.0, cpu=cpu(4.0))
    figures = figures_of(Measured(BARE, 10, 200, 0, landed=10, seconds=5.0, elapsed=5.0, cpu={SCRIPT: 1.0}), idle)

    assert (figures.cpu_each, figures.working, figures.task_writes_each) == (0.1, 1.0, None)


def test_nothing_landed_has_no_figures_for_each() -> None:
    """A contender that landed nothing has neither a price nor a speed, and meets no goal by that."""
    idle = Measured(IDLE, 0, 200, 0, elapsed=10.0, cpu=cpu(4.0))
    figures = figures_of(Measured(BATCH, 10, 200, 0, elapsed=5.0, cpu=cpu(4.0), writes={TASK_STATE: 1}), idle)

    assert (figures.landed, figures.cpu_each, figures.per_second, figures.task_writes_each) == (0.0, None, None, None)


def test_rounds_are_summarized_by_their_median() -> None:
    """An outlier changes nothing, and a figure that a round lacks is taken from the others."""
    idle = Measured(IDLE, 0, 200, 0, elapsed=10.0, cpu=cpu(0.0))
    rounds = [replace(measured(Case(GROUP, 100), 0), delay=delay) for delay in (9.0, 1000.0, None, 11.0)]

    assert medians_of([figures_of(row, idle) for row in rounds]).delay == 11.0


def test_a_run_that_meets_all_goals_misses_none() -> None:
    """The figures of a good run are within every limit."""
    assert missed(run_with({})) == []


@pytest.mark.parametrize(
    ("case", "change", "goal"),
    [
        (Case(BATCH, 1000), {"cpu": cpu(41.0)}, "CPU of Airflow for each landed video, relative"),
        (Case(BATCH, 1000), {"cpu": cpu(31.0)}, "CPU seconds of Airflow for each landed video"),
        (Case(BATCH, 1000), {"landed": 0}, "CPU seconds of Airflow for each landed video"),
        (Case(BATCH, 1000), {"seconds": 101.0}, "landed per second"),
        (Case(BATCH, 1000), {"starts": 13}, "task processes started"),
        (Case(BATCH, 1000), {"writes": {TASK_STATE: 101, ASSET_STATE: 50}}, "writes to the state store for"),
        (Case(BATCH, 1000), {"writes": {TASK_STATE: 50, ASSET_STATE: 101}}, "writes to the state store's copy"),
        (Case(BARE, 1000), {"cpu": {SCRIPT: 4.4}}, "CPU of workers and triggerer above that for one row"),
        (Case(SINGLE, 100), {"cpu": cpu(141.0)}, "CPU with `destination=`"),
        (Case(SINGLE, 100), {"delay": 6.1}, "seconds from completed to landed with `destination=`"),
        (Case(GROUP, 100), {"delay": None}, "seconds from completed to landed with `destination=`"),
        (Case(BATCH, LARGE_COUNT, LARGE_WINDOW), {"peak_mib": 215.0}, "memory of the worker above that for one row"),
        (Case(BATCH, LARGE_COUNT), {"peak_mib": 201.0}, "memory of the worker above that for 1,000 rows"),
        (Case(BATCH, LARGE_COUNT, LARGE_WINDOW), {"peak_mib": 201.0}, "memory of the worker above that for 1,000 rows"),
        (Case(BATCH, LARGE_COUNT, LARGE_WINDOW), {"landed": 9999}, "share that has landed"),
    ],
)
def test_a_figure_beyond_its_limit_misses_its_goal(case: Case, change: dict[str, object], goal: str) -> None:
    """Each goal is missed by its own figure, and by a missing figure."""
    assert any(name.startswith(goal) for name in missed(run_with({case: change})))


def test_the_fixed_cost_is_that_of_one_row() -> None:
    """Workers and triggerer are compared with the script above what one row uses."""
    found = {goal.name: goal.shown for goal in run_with({}).goals}
    [figure] = (figure for name, figure in found.items() if "relative to the bare script's" in name)
    assert figure == pytest.approx((10.0 - 1.0) / 5.0)


def test_the_page_has_every_case_and_every_missed_goal() -> None:
    """Whoever reads the page sees all contenders, and what was missed."""
    text = page(run_with({Case(BATCH, 1000): {"starts": 13}}))
    assert "| task processes started | N = 1,000, window of 200 | ≤ 12 | 13.00 | **missed** |" in text
    assert text.count("| `EvoLinkBatchOperator`, window of 1,000 | 10,000 |") == 2
    assert "| bare asyncio script | 1,000 | all |" in text


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[int]:
    """Run a process like a scheduler's: its child has a child, which holds 64 MiB."""
    child = NESTED.format(inner=TASK)
    with Processes(tmp_path) as processes:
        command = [sys.executable, "-c", NESTED.format(inner=child)]
        processes.start("scheduler", command, clean_environment())
        processes.wait_until("the memory", lambda: "held" in processes.log("scheduler").read_text(), 30)
        yield processes.pid("scheduler")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_tasks_is_seen_from_outside(nested: int) -> None:
    """The peak is that of the largest process below the executor's workers."""
    with PeakMemory(nested) as memory:
        end = time.monotonic() + 10
        while not memory.mib > 64 and time.monotonic() < end:
            time.sleep(0.05)
    assert 64 < memory.mib < 200
