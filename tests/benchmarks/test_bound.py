# SPDX-License-Identifier: Apache-2.0
"""The lower bound that the pacing is measured against."""

from itertools import combinations, pairwise

import pytest

from benchmarks.bound import Cost, best_ages, bound, cost_of
from benchmarks.workloads import WORKLOADS, log_normal, uniform


def cheapest(durations: list[float], price: float) -> float:
    """Try every plan that polls at durations."""
    *others, last = sorted(durations)
    plans = [(*chosen, last) for size in range(len(others) + 1) for chosen in combinations(others, size)]
    return min(total(cost_of(plan, durations), price) for plan in plans)


def total(cost: Cost, price: float) -> float:
    """Return what polls and delay cost together."""
    return price * cost.requests + cost.delay


@pytest.mark.parametrize("price", [0.01, 0.3, 1.0, 4.0, 1000.0])
@pytest.mark.parametrize(
    "durations",
    [[5.0], [1.0, 2.0], [3.0, 3.0, 3.0], [1.0, 1.5, 4.0, 9.0, 9.5], [2.0, 7.0, 1.0, 8.0, 2.8, 1.8, 2.8, 4.5]],
)
def test_no_plan_is_cheaper_than_the_bound(durations: list[float], price: float) -> None:
    """The search finds what trying every plan finds."""
    assert total(bound(durations, price), price) == pytest.approx(cheapest(durations, price))


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.title)
@pytest.mark.parametrize("interval", [3.0, 10.0, 30.0])
def test_no_fixed_interval_is_cheaper_than_the_bound(workload, interval: float) -> None:
    """On every reported workload a fixed interval costs more than the best plan."""
    durations = workload.stratified(200)
    ages = [interval * (number + 1) for number in range(int(max(durations) / interval) + 1)]
    assert total(cost_of(ages, durations), 1.0) > total(bound(durations), 1.0)


def test_polls_are_counted_until_they_find_the_end() -> None:
    """A job that ends between two polls costs both, and goes unnoticed until the second."""
    assert cost_of([10.0, 20.0], [12.0]) == Cost(requests=2.0, delay=8.0)
    assert cost_of([10.0, 20.0], [10.0]) == Cost(requests=1.0, delay=0.0)


def test_with_expensive_polls_there_is_only_one() -> None:
    """Where polls cost more than any delay, only the longest duration is worth a poll."""
    assert best_ages([1.0, 2.0, 3.0], price=100.0) == [3.0]


def test_free_polls_happen_at_every_end() -> None:
    """Where polls cost nothing, there is no delay."""
    assert best_ages([3.0, 1.0, 2.0], price=0.0) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("durations", [[5.0], [1.0, 1.5, 4.0, 9.0, 9.5], [40.0, 41.0, 42.5, 43.0, 44.0, 46.0]])
def test_the_bound_keeps_a_minimum_distance(durations: list[float]) -> None:
    """With a minimum distance between polls, no plan at durations that keeps it is cheaper."""
    *others, last = sorted(durations)
    plans = [(*chosen, last) for size in range(len(others) + 1) for chosen in combinations(others, size)]
    kept = [plan for plan in plans if all(later - age >= 3.0 for age, later in pairwise(plan))]
    ages = best_ages(durations, 1.0, floor=3.0)

    assert all(later - age >= 3.0 for age, later in pairwise(ages))
    assert total(bound(durations, 1.0, floor=3.0), 1.0) <= min(total(cost_of(plan, durations), 1.0) for plan in kept)


def test_a_workload_has_its_stated_median() -> None:
    """Half of all durations are below the median."""
    for workload in (log_normal("", 90.0, 0.6), uniform("", 40.0, 50.0)):
        assert workload.quantile(0.5) == pytest.approx(workload.median)
        assert sum(seconds < workload.median for seconds in workload.stratified(100)) == 50
