# SPDX-License-Identifier: Apache-2.0
"""Nothing breaks when a read fails, a wait is cancelled or the poll loop crashes at an awkward moment.

The real poller, in simulated time: :mod:`tests.polling.virtual`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from airflow_provider_evolink.api.errors import ServerError
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.polling.poll_loop import PollLoop
from airflow_provider_evolink.polling.poller import Poller
from tests.polling.virtual import EPOCH, Job, Service, always, run, wait_for, wait_for_all

COMPLETED = StopPolling(Outcome.TERMINAL, "completed")


@dataclass
class Forgetful(Service):
    """For a while its batches leave one generation out, and a single read of that generation fails."""

    forgets_until: float = 100.0

    def has(self, settings: Settings, generation_id: str) -> bool:
        """Return whether a batch, or a single read, finds a generation."""
        if generation_id != self.jobs[0].id or self.now() >= self.forgets_until:
            return True
        if self.is_single_read:
            raise ServerError("sorry", status=500)
        return False


def test_a_single_read_that_fails_does_not_end_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a single read that finds what a batch left out ends the use of batches; a failed one does not."""
    service = Forgetful([Job(number, 0.0, 600.0) for number in range(100)])

    run(wait_for_all(service, poll_interval=10.0), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert service.singles <= 20
    assert service.batches >= 100


def test_a_wait_cancelled_during_a_request_gets_no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that is cancelled while its request is in flight gets no report of the response; the others do."""
    service = Service([Job(number, 0.0, 15.0) for number in range(30)], latency=2.0)
    reported: list[int] = []

    async def wait(poller: Poller, job: Job) -> StopPolling:
        watch = Watch(job.id, EPOCH, EPOCH + 600, poll_interval=10.0)
        return await poller.wait(watch, lambda _: reported.append(job.number))

    async def main() -> list[StopPolling | BaseException]:
        poller = Poller(always)
        waits = [asyncio.create_task(wait(poller, job)) for job in service.jobs]
        await asyncio.sleep(11.5)
        assert service.clients == 1
        for task in waits[:10]:
            task.cancel()
        await asyncio.sleep(2.0)
        for task in waits[10:15]:
            task.cancel()
        return await asyncio.gather(*waits, return_exceptions=True)

    ends = run(main(), monkeypatch, service)

    assert all(isinstance(end, asyncio.CancelledError) for end in ends[:15])
    assert ends[15:] == [COMPLETED] * 15
    assert sorted(reported) == list(range(10, 30))


def test_a_crashed_run_does_not_stop_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last wait ends as the loop crashes, and the next one begins before that is handled, its run goes on."""
    service = Service([Job(0, 0.0, 100.0), Job(1, 0.0, 500.0)])

    async def main() -> None:
        poller = Poller(always)
        first = asyncio.create_task(wait_for(poller, service.jobs[0]))
        await asyncio.sleep(5)
        poll_loop = only_loop(poller)
        crashed, original = poll_loop._task, poll_loop._pop_due
        monkeypatch.setattr(poll_loop, "_pop_due", crash)
        monkeypatch.setattr(poll_loop._queue, "next_due", lambda: 0.0)
        poll_loop._wake.set()
        while crashed is not None and not crashed.done():
            await asyncio.sleep(0)
            if crashed.done():
                first.cancel()
                poll_loop.discard(next(iter(poll_loop._waiters)))
                await poll_loop.close()
                monkeypatch.setattr(poll_loop, "_pop_due", original)
                second = asyncio.create_task(wait_for(poller, service.jobs[1]))
        restarted_at = poll_loop._restarted_at
        await second
        assert poll_loop._restarted_at == restarted_at

    run(main(), monkeypatch, service)

    assert service.jobs[1].stop == COMPLETED


def only_loop(poller: Poller) -> PollLoop:
    """Return the poller's only loop."""
    (poll_loop,) = poller._loops
    return poll_loop


def crash() -> list[Job]:
    """Fail as only a bug does."""
    raise RuntimeError("a bug")
