"""
Where EvoLink limits how often may be asked, everybody is noticed in time, nobody starves and nobody is given up.

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

DONE = StopPolling(Outcome.TERMINAL, "completed")


def jobs(count: int, *, over: float = 30.0, least: float = 60.0, most: float = 300.0) -> list[Job]:
    """Jobs that are submitted one after the other, and take anything between two durations."""
    chance = random.Random(7)
    starts = [over * number / count for number in range(count)]
    return [Job(number, at, at + chance.uniform(least, most)) for number, at in enumerate(starts)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("durations", [(40, 50, 45), (80, 100, 90), (270, 330, 300), (10, 60, 30), (60, 600, None)])
def test_a_thousand_at_sixty_a_minute(
    kind: type[FixedWindows], durations: tuple[float, float, float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batches all are noticed, within 15 s on average, and hardly a request is turned away."""
    least, most, estimate = durations
    service = Service(jobs(1000, over=5.0, least=least, most=most), [(0.0, kind(60))])

    run(wait_for_all(service, estimated_time=estimate), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}
    assert statistics.fmean(job.delay for job in service.jobs) < 15
    assert len(service.refused) <= 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_at_sixty_a_minute_without_batches(kind: type[FixedWindows], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each needs a request of its own; every one is noticed within three minutes."""
    service = Service(jobs(100, most=900.0), [(0.0, kind(60))], takes_batches=False)

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}
    assert max(job.delay for job in service.jobs) <= 180


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "count"), [(10, 15), (600, 900)])
def test_other_limits(kind: type[FixedWindows], limit: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a minute is lived with, and six hundred are used: one round of all takes as long as the limit makes it."""
    service = Service(jobs(count, most=1800.0), [(0.0, kind(limit))], takes_batches=False)

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}
    assert max(job.delay for job in service.jobs) <= 2.5 * 60 * count / limit
    assert len(service.refused) <= 0.05 * len(service.answered) + 128


def test_a_crowd_is_taken_up_by_a_new_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are overdue at once: the first crowd shows the limit, and a round later each has been asked about."""
    late = [Job(number, -1000.0, 500.0 + number) for number in range(100)]
    service = Service(late, [(0.0, FixedWindows(60))], takes_batches=False)

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in late} == {DONE}
    assert max(job.longest_silence(0.0, job.ends) for job in late) <= 180


def test_nobody_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half are to be asked about every second, which the limit can't give; the others have their turns all the same."""
    service = Service(jobs(80, least=1500.0, most=1800.0), [(0.0, SlidingWindow(60))], takes_batches=False)

    async def both() -> None:
        poller, wishes = Poller(always), (1.0, None)
        await asyncio.gather(*(wait_for(poller, job, poll_interval=wishes[job.number % 2]) for job in service.jobs))

    run(both(), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}
    assert max(job.longest_silence(job.submitted, job.ends) for job in service.jobs) <= 180


def test_a_limit_gives_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes in which nothing passes at all are longer than any patience, and end no waiting."""
    service = Service(jobs(60), [(0.0, FixedWindows(60)), (100.0, FixedWindows(0)), (1300.0, FixedWindows(60))])

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}
    assert max(job.noticed or 0.0 for job in service.jobs) <= 1500


def test_failures_far_apart_give_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one question in twelve minutes for each, one that fails now and then is no outage."""
    dice = random.Random(3)

    def failing(_: float) -> ServerError | None:
        return ServerError("sorry", status=503) if dice.random() < 0.05 else None

    service = Service(jobs(120, least=2000.0, most=3000.0), [(0.0, FixedWindows(10))], takes_batches=False)
    service.failing = failing

    run(wait_for_all(service), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}


def test_a_deadline_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Last questions come first; for whom none is left, a worker looks, before Airflow gives up."""
    service = Service(jobs(100, over=600.0, least=5000.0, most=6000.0), [(0.0, FixedWindows(60))], takes_batches=False)
    ends: dict[int, float] = {}

    async def one(poller: Poller, job: Job) -> None:
        await wait_for(poller, job, deadline=EPOCH + job.submitted + 900.0)
        ends[job.number] = asyncio.get_running_loop().time() - job.submitted - 900.0

    async def all_of_them() -> None:
        poller = Poller(always)
        await asyncio.gather(*(one(poller, job) for job in service.jobs))

    run(all_of_them(), monkeypatch, service)

    assert {job.stop.outcome for job in service.jobs if job.stop} == {Outcome.DEADLINE}
    assert min(ends.values()) >= 0
    assert max(ends.values()) <= 60
    asked_last = [job for job in service.jobs if job.asked and job.asked[-1] >= job.submitted + 900.0]
    assert len(asked_last) >= 95


def test_a_limit_that_is_lifted_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of an hour later nobody waits for a turn any more."""
    service = Service(
        jobs(400, least=2400.0, most=3000.0), [(0.0, FixedWindows(60)), (900.0, Unlimited())], takes_batches=False
    )

    run(wait_for_all(service), monkeypatch, service)

    assert max(job.longest_silence(1800.0, job.ends) for job in service.jobs) <= 120
    assert statistics.fmean(job.delay for job in service.jobs) < 30


@pytest.mark.parametrize(("count", "least", "width"), [(100, 60.0, 9), (2000, 600.0, 40)])
def test_no_batch_goes_half_empty(count: int, least: float, width: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests are rationed, those that are due soon come along: a minute of sixty requests is for 3,000."""
    service = Service(jobs(count, least=least, most=least + 240), [(0.0, FixedWindows(60))])

    run(wait_for_all(service), monkeypatch, service)

    assert sum(len(job.asked) for job in service.jobs) >= width * len(service.answered)
    assert statistics.fmean(job.delay for job in service.jobs) < 30
