# SPDX-License-Identifier: Apache-2.0
"""Under a rate limit every end is noticed in time, no generation starves, and none is given up.

The real poller, in simulated time: :mod:`tests.polling.virtual`.
"""

from __future__ import annotations

import asyncio
import random
import statistics

import pytest

from airflow_provider_evolink.api.errors import ServerError
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.polling.poller import Poller
from tests.limiters import KINDS, FixedWindows, SlidingWindow, Unlimited
from tests.polling.virtual import EPOCH, Job, Service, always, run, wait_for, wait_for_all

COMPLETED = StopPolling(Outcome.TERMINAL, "completed")


def jobs(count: int, *, over: float = 30.0, shortest: float = 60.0, longest: float = 300.0) -> list[Job]:
    """Return jobs submitted evenly over some seconds, with durations between the shortest and the longest."""
    rng = random.Random(7)
    starts = [over * number / count for number in range(count)]
    return [Job(number, start, start + rng.uniform(shortest, longest)) for number, start in enumerate(starts)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("durations", [(40, 50, 45), (80, 100, 90), (270, 330, 300), (10, 60, 30), (60, 600, None)])
def test_a_thousand_with_batches_at_sixty_a_minute(
    kind: type[FixedWindows], durations: tuple[float, float, float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batches a thousand ends are noticed within 15 s on average, and few requests get a 429."""
    shortest, longest, estimate = durations
    service = Service(jobs(1000, over=5.0, shortest=shortest, longest=longest), [(0.0, kind(60))])

    run(wait_for_all(service, estimated_time=estimate), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert statistics.fmean(job.delay for job in service.jobs) < 15
    assert len(service.rejected) <= 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_without_batches_at_sixty_a_minute(kind: type[FixedWindows], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a request for each generation, every end is noticed within three minutes."""
    service = Service(jobs(100, longest=900.0), [(0.0, kind(60))], takes_batches=False)

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert max(job.delay for job in service.jobs) <= 180


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "count"), [(10, 15), (600, 900)])
def test_other_limits(kind: type[FixedWindows], limit: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten and six hundred requests a minute are used well: no end is noticed later than the limit makes necessary."""
    service = Service(jobs(count, longest=1800.0), [(0.0, kind(limit))], takes_batches=False)

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert max(job.delay for job in service.jobs) <= 2.5 * 60 * count / limit
    assert len(service.rejected) <= 0.05 * len(service.accepted) + 128


def test_a_new_triggerer_resumes_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all generations are overdue at once, each is polled within three minutes."""
    overdue = [Job(number, -1000.0, 500.0 + number) for number in range(100)]
    service = Service(overdue, [(0.0, FixedWindows(60))], takes_batches=False)

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in overdue} == {COMPLETED}
    assert max(job.longest_gap(0.0, job.ends) for job in overdue) <= 180


def test_no_generation_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half are to be polled every second, more than the limit allows, and the others have their turns all the same."""
    service = Service(jobs(80, shortest=1500.0, longest=1800.0), [(0.0, SlidingWindow(60))], takes_batches=False)

    async def main() -> None:
        poller, intervals = Poller(always), (1.0, None)
        await asyncio.gather(*(wait_for(poller, job, poll_interval=intervals[job.number % 2]) for job in service.jobs))

    run(main(), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert max(job.longest_gap(job.submitted, job.ends) for job in service.jobs) <= 180


def test_a_limit_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes of nothing but 429, twice ``unreachable_timeout``, end no wait."""
    service = Service(jobs(60), [(0.0, FixedWindows(60)), (100.0, FixedWindows(0)), (1300.0, FixedWindows(60))])

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert max(job.noticed or 0.0 for job in service.jobs) <= 1500


def test_failures_far_apart_end_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """When each generation is polled every twelve minutes, an occasional failure is no outage."""
    rng = random.Random(3)

    def failure_at(_: float) -> ServerError | None:
        return ServerError("sorry", status=503) if rng.random() < 0.05 else None

    service = Service(jobs(120, shortest=2000.0, longest=3000.0), [(0.0, FixedWindows(10))], takes_batches=False)
    service.failure_at = failure_at

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}


def test_deadlines_are_kept_under_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Last polls come first, and a wait without one ends before Airflow's own timeout, so that its worker reads."""
    service = Service(
        jobs(100, over=600.0, shortest=5000.0, longest=6000.0), [(0.0, FixedWindows(60))], takes_batches=False
    )
    overtime: dict[int, float] = {}

    async def wait(poller: Poller, job: Job) -> None:
        await wait_for(poller, job, deadline=EPOCH + job.submitted + 900.0)
        overtime[job.number] = asyncio.get_running_loop().time() - job.submitted - 900.0

    async def main() -> None:
        poller = Poller(always)
        await asyncio.gather(*(wait(poller, job) for job in service.jobs))

    run(main(), monkeypatch, service)

    assert {job.stop.outcome for job in service.jobs if job.stop} == {Outcome.DEADLINE}
    assert min(overtime.values()) >= 0
    assert max(overtime.values()) <= 60
    with_last_poll = [job for job in service.jobs if job.polled and job.polled[-1] >= job.submitted + 900.0]
    assert len(with_last_poll) >= 95


def test_a_limit_that_is_lifted_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of an hour after the limit is lifted no poll has to wait any more."""
    service = Service(
        jobs(400, shortest=2400.0, longest=3000.0), [(0.0, FixedWindows(60)), (900.0, Unlimited())], takes_batches=False
    )

    run(wait_for_all(service), monkeypatch, service)

    assert max(job.longest_gap(1800.0, job.ends) for job in service.jobs) <= 120
    assert statistics.fmean(job.delay for job in service.jobs) < 30


@pytest.mark.parametrize(("count", "shortest", "batch_size"), [(100, 60.0, 9), (2000, 600.0, 40)])
def test_batches_are_filled_up(count: int, shortest: float, batch_size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a limit, generations due soon fill up a batch, so that sixty requests a minute serve up to 3,000 polls."""
    service = Service(jobs(count, shortest=shortest, longest=shortest + 240), [(0.0, FixedWindows(60))])

    run(wait_for_all(service), monkeypatch, service)

    assert sum(len(job.polled) for job in service.jobs) >= batch_size * len(service.accepted)
    assert statistics.fmean(job.delay for job in service.jobs) < 30
