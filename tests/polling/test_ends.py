"""
What is left when a question, a wait or the loop itself has ended otherwise than usual.

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

DONE = StopPolling(Outcome.TERMINAL, "completed")


@dataclass
class Forgetful(Service):
    """Its batches leave one generation out for a moment, and its single reads fail in it."""

    forgets_until: float = 100.0

    def knows(self, settings: Settings, generation_id: str) -> bool:
        """Whether a batch, or a single read, finds it."""
        if generation_id != self.jobs[0].id or self.now() >= self.forgets_until:
            return True
        if self.is_single:
            raise ServerError("sorry", status=500)
        return False


def test_a_single_read_that_fails_does_not_speak_against_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that finds what a batch has left out does; one that is left out at first comes back into the batch."""
    service = Forgetful([Job(number, 0.0, 600.0) for number in range(100)])

    run(wait_for_all(service, poll_interval=10.0), monkeypatch, service)

    assert {job.stop for job in service.jobs} == {DONE}
    assert service.singles <= 20
    assert service.batches >= 100


def test_a_wait_that_has_gone_is_told_nothing_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while its question is under way, it hears nothing of the answer, and the others hear theirs."""
    service = Service([Job(number, 0.0, 15.0) for number in range(30)], latency=2.0)
    told: list[int] = []

    async def one(poller: Poller, job: Job) -> StopPolling:
        watch = Watch(job.id, EPOCH, EPOCH + 600, poll_interval=10.0)
        return await poller.wait(watch, lambda _: told.append(job.number))

    async def main() -> list[StopPolling | BaseException]:
        poller = Poller(always)
        waits = [asyncio.create_task(one(poller, job)) for job in service.jobs]
        await asyncio.sleep(11.5)
        assert service.clients == 1
        for wait in waits[:10]:
            wait.cancel()
        await asyncio.sleep(2.0)
        for wait in waits[10:15]:
            wait.cancel()
        return await asyncio.gather(*waits, return_exceptions=True)

    ends = run(main(), monkeypatch, service)

    assert all(isinstance(end, asyncio.CancelledError) for end in ends[:15])
    assert ends[15:] == [DONE] * 15
    assert sorted(told) == list(range(10, 30))


def test_a_loop_that_was_replaced_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last wait leaves as the loop fails, and the next begins before that is noticed: its own loop goes on."""
    service = Service([Job(0, 0.0, 100.0), Job(1, 0.0, 500.0)])

    async def main() -> None:
        poller = Poller(always)
        first = asyncio.create_task(wait_for(poller, service.jobs[0]))
        await asyncio.sleep(5)
        asker = only(poller)
        failed, sound = asker._loop, asker._pop_due
        monkeypatch.setattr(asker, "_pop_due", broken)
        monkeypatch.setattr(asker._queue, "next_due", lambda: 0.0)
        asker._wake.set()
        while failed is not None and not failed.done():
            await asyncio.sleep(0)
            if failed.done():
                first.cancel()
                asker.discard(next(iter(asker._waiters)))
                await asker.close()
                monkeypatch.setattr(asker, "_pop_due", sound)
                second = asyncio.create_task(wait_for(poller, service.jobs[1]))
        rebuilt_at = asker._rebuilt_at
        await second
        assert asker._rebuilt_at == rebuilt_at

    run(main(), monkeypatch, service)

    assert service.jobs[1].stop == DONE


def only(poller: Poller) -> PollLoop:
    """The one account that is asked."""
    (asker,) = poller._loops
    return asker


def broken() -> list[Job]:
    """Fail as nothing should."""
    raise RuntimeError("a bug")
