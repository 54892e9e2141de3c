# SPDX-License-Identifier: Apache-2.0
"""The simulated polling policies."""

import random

import pytest

from benchmarks.bound import Cost, bound
from benchmarks.pacing import learned, of_change, paced
from benchmarks.policies import ProviderPacing, back_off, every
from benchmarks.workloads import WORKLOADS, Workload, uniform


def test_a_fixed_interval_polls_until_it_finds_the_end() -> None:
    """A job of 25 s is polled at 10, 20 and 30 s, and noticed 5 s late."""
    assert every(10.0).wait_for(25.0, random.Random(0)) == (3, 5.0)
    assert every(10.0).wait_for(30.0, random.Random(0)) == (3, 0.0)


def test_a_back_off_polls_less_and_less_often() -> None:
    """After 2, 3 and 4.5 s a job of 9 s is found to have ended."""
    assert back_off().wait_for(9.0, random.Random(0)) == (3, 0.5)


@pytest.mark.parametrize("estimate", [None, 45.0, 90.0, 180.0])
@pytest.mark.parametrize("duration", [0.5, 20.0, 90.0, 4000.0])
def test_the_provider_never_notices_an_end_too_early(estimate: float | None, duration: float) -> None:
    """However wrong the estimate, each job costs at least one poll, and the last comes after its end."""
    polls, delay = ProviderPacing(estimate).wait_for(duration, random.Random(0))
    assert polls >= 1
    assert delay >= 0.0


def test_the_provider_learns_only_if_enabled() -> None:
    """Earlier jobs change the plan, unless learning is switched off."""
    rng = random.Random(0)
    learned, frozen = ProviderPacing(10.0), ProviderPacing(10.0, learns=False)
    for _ in range(20):
        learned.wait_for(300.0, rng)
        frozen.wait_for(300.0, rng)
    assert learned.wait_for(300.0, random.Random(1))[0] < frozen.wait_for(300.0, random.Random(1))[0]


def test_costs_are_compared_with_the_best_plan() -> None:
    """The ratio is that of polls times delay, both averaged over all jobs."""
    best = paced("", "", [(1.0, 2.0)], None)
    assert best.ratio is None
    row = paced("a", "b", [(2.0, 3.0), (4.0, 5.0)], Cost(2.0, 2.0))
    assert (row.requests, row.delay, row.ratio) == (3.0, 4.0, 3.0)


def test_a_change_is_reported_beside_a_fixed_interval() -> None:
    """Each change has a row for the provider and a row for ten seconds, on the same jobs."""
    rows = of_change("changed", uniform("", 40.0, 50.0), 1)
    assert [(row.workload, row.policy) for row in rows] == [("changed", "ours"), ("changed", "every 10 s")]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.title)
@pytest.mark.parametrize(("known", "limit"), [(0, 1.5), (50, 1.2)])
def test_the_provider_comes_close_to_the_best_plan(workload: Workload, known: int, limit: float) -> None:
    """Polls times delay is bounded, with an honest estimate at first and after fifty jobs."""
    best = bound(workload.stratified(800))

    row = paced("", "", learned(workload, known, workload.median, 40), best)

    assert row.ratio is not None
    assert row.ratio <= limit
