# SPDX-License-Identifier: Apache-2.0
"""The pure parts of the benchmarks: jobs, lags, medians, goals and tables."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from benchmarks import bodies
from benchmarks.chart import chart
from benchmarks.contenders import BATCH, BY_KEY, IDLE, PROTOTYPE, SINGLE
from benchmarks.goals import Goal, of_crowd
from benchmarks.jobs import Job, crowd, job_of, job_of_id
from benchmarks.lag import lag
from benchmarks.measured import Measured, is_success, median_of, net_of
from benchmarks.report import crowd_table, goal_table
from benchmarks.tables import markdown

ONE = Measured(
    contender=IDLE, count=1000, finished=1000, failed=[], seconds=40.0, cpu_seconds=0.5, requests=0, connections=0,
    lookups=0, lag_p99=0.001, lag_max=0.01, own_p99=0.001, own_max=0.01, delay_mean=5.0, delay_p99=10.0,
    bytes_each=10_240.0,
)  # fmt: skip


def medians(**changes: float) -> dict[tuple[str, int], Measured]:
    """Return a run that meets all goals, with changes to the provider's batched contender."""
    batch = replace(ONE, contender=BATCH, cpu_seconds=0.9, requests=150, connections=8, bytes_each=11_264.0)
    rows = [
        ONE,
        replace(ONE, contender=PROTOTYPE, cpu_seconds=3.7, requests=2700),
        replace(ONE, contender=SINGLE, cpu_seconds=3.0, requests=1700, connections=8),
        replace(batch, **changes),
    ]
    return {(row.contender, row.count): row for row in rows}


def missed(goals: list[Goal]) -> list[str]:
    """Return the names of the missed goals."""
    return [goal.name for goal in goals if not goal.is_met]


def test_an_id_encodes_a_job() -> None:
    """Stub and client agree on a job by its id or its number alone."""
    for job in crowd(50, 1_757_169_743.25):
        assert job_of(job.token) == job
        assert job_of_id(job.generation_id) == job


def test_a_crowd_is_the_same_in_every_run() -> None:
    """Every contender waits for the same jobs, started over ten seconds, each 10 to 25 s long."""
    jobs = crowd(1000, 0.0)
    assert [job.takes for job in jobs] == [job.takes for job in crowd(1000, 5e8)]
    assert all(10_000 <= job.takes <= 25_000 for job in jobs)
    assert (jobs[0].begins, jobs[-1].begins) == (0, 9990)


@pytest.mark.parametrize(("now", "status", "run"), [(19.9, "processing", 3), (20.0, "completed", 10)])
def test_all_endpoints_agree_on_the_end(now: float, status: str, run: int) -> None:
    """All services of the stub report the end of a job from the same moment on."""
    job = Job(begins=10_000, takes=10_000, number=7)
    assert bodies.generation(job, now)["status"] == status
    assert bodies.dbt_run(job, now)["data"]["status"] == run
    plain, _ = bodies.respond("GET", f"/plain/{job.token}", b"", now, takes_batches=True)
    assert plain == (200 if status == "completed" else 404)


def test_a_batch_can_be_switched_off() -> None:
    """Without batches the stub responds like a server that does not know them."""
    body = f'{{"task_ids": ["{Job(0, 1, 2).generation_id}"]}}'.encode()
    assert bodies.respond("POST", "/v1/tasks/batch", body, 1.0, takes_batches=True)[0] == 200
    assert bodies.respond("POST", "/v1/tasks/batch", body, 1.0, takes_batches=False)[0] == 404


def test_the_lag_is_that_of_a_random_moment() -> None:
    """With one busy second in ten, half of that second's moments wait for more than half a second."""
    assert lag([1.0], 10.0, 0.05) == pytest.approx(0.5)
    assert lag([1.0], 10.0, 0.1) == pytest.approx(0.0, abs=1e-6)
    assert lag([0.001] * 100, 10.0, 0.01) == pytest.approx(0.0, abs=1e-6)
    assert lag([], 10.0, 0.01) == 0.0


@pytest.mark.parametrize(
    ("word", "is_good"),
    [
        (True, True),
        ({"status": "success", "response": {}}, True),
        ({"generation_id": "task-unified-1", "outcome": "terminal", "status": "completed"}, True),
        ({"generation_id": "task-unified-1"}, True),
        ({"status": "error", "message": "Cannot connect"}, False),
        ({"status": "timeout"}, False),
        ({"generation_id": "task-unified-1", "outcome": "unreachable", "status": None}, False),
        (None, False),
    ],
)
def test_only_a_success_counts(word: object, is_good: bool) -> None:
    """A trigger that fires because it gave up has not finished, in any format."""
    assert is_success(word) is is_good


def test_rounds_are_summarized_by_their_median() -> None:
    """An outlier changes nothing, and a figure missing in one round is taken from the others."""
    rounds = [ONE, replace(ONE, cpu_seconds=9.0, delay_mean=None), replace(ONE, cpu_seconds=0.7, delay_mean=7.0)]
    found = median_of(rounds)
    assert (found.cpu_seconds, found.delay_mean) == (0.7, 6.0)


def test_a_run_that_meets_all_goals_misses_none() -> None:
    """The figures of a good run are within every limit, with 0.4 ms left above an idle trigger's."""
    assert missed(of_crowd(medians(), 1000)) == []
    assert net_of(medians()[BATCH, 1000], ONE) == pytest.approx(0.0004)


@pytest.mark.parametrize(("own_seconds", "is_met"), [(0.01, True), (0.09, True), (0.11, False)])
def test_the_best_peer_is_the_measure(own_seconds: float, is_met: bool) -> None:
    """The limit is a twentieth of the cheapest peer that has finished all, both above an idle trigger's cost."""
    idle = medians()[IDLE, 1000]
    crowds = medians(cpu_seconds=idle.cpu_seconds + own_seconds)
    crowds["http-sensor", 1000] = replace(ONE, contender="http-sensor", cpu_seconds=idle.cpu_seconds + 5.0)
    crowds["dbt", 1000] = replace(ONE, contender="dbt", cpu_seconds=idle.cpu_seconds + 2.0)
    crowds["http-event", 1000] = replace(ONE, contender="http-event", cpu_seconds=idle.cpu_seconds + 0.1, finished=9)

    assert ("the same, relative to the best official peer" not in missed(of_crowd(crowds, 1000))) is is_met


@pytest.mark.parametrize(
    ("change", "goal"),
    [
        ({"cpu_seconds": 1.1}, "CPU ms for each"),
        ({"requests": 201}, "requests for each"),
        ({"own_p99": 0.021}, "loop lag p99 ms, batch on"),
        ({"own_max": 0.101}, "loop lag max ms, batch on"),
        ({"lag_p99": 0.021}, "the same by the clock, p99"),
        ({"lag_max": 0.101}, "the same by the clock, max"),
        ({"connections": 11}, "connections"),
        ({"bytes_each": 13_000.0}, "KiB for each"),
        ({"finished": 0}, "CPU ms for each"),
        ({"finished": 999}, "CPU ms for each"),
    ],
)
def test_a_figure_beyond_its_limit_misses_its_goal(change: dict[str, float], goal: str) -> None:
    """Each goal is missed by its own figure, and by a missing figure."""
    assert any(name.startswith(goal) for name in missed(of_crowd(medians(**change), 1000)))


def test_a_missed_goal_stands_out() -> None:
    """The table of goals states which are met."""
    table = goal_table([Goal("a", "N = 1", 1.0, 0.5), Goal("b", "N = 1", 1.0, None)])
    assert "| a | N = 1 | ≤ 1 | 0.50 | met |" in table
    assert "| b | N = 1 | ≤ 1 | - | **missed** |" in table


def test_a_peer_that_was_cut_off_sets_no_standard() -> None:
    """The factor is relative to the best peer that has finished all."""
    rows = medians()
    rows["dbt", 1000] = replace(ONE, contender="dbt", cpu_seconds=18.0)
    rows["http-sensor", 1000] = replace(ONE, contender="http-sensor", cpu_seconds=1.0, finished=500)
    ours = next(line for line in crowd_table(rows, 1000).splitlines() if BY_KEY[BATCH].title in line)
    assert "| 20.0 |" in ours


def test_columns_of_figures_are_aligned_to_the_right() -> None:
    """The first column and those marked as text are left-aligned."""
    assert markdown(["a", "<b", "c"], [["1", "2", "3"]]).splitlines()[:2] == ["| a | b | c |", "| --- | --- | ---: |"]


def test_the_chart_is_a_picture_of_all_contenders() -> None:
    """The chart is well-formed and names every contender, also those that finished nothing."""
    rows = medians(finished=0)
    texts = [element.text for element in ET.fromstring(chart(rows, [1000])).iter() if element.text]
    assert {BY_KEY[key].title for key, _ in rows} <= set(texts)
    assert "none of 1,000 finished" in texts
