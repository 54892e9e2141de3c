# SPDX-License-Identifier: Apache-2.0
"""One wait for many generations: when it ends, what it says of them, what it costs, and what it leaves behind.

The real poller, in simulated time: :mod:`tests.polling.virtual`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from airflow_provider_evolink.api.errors import ConnectionLostError, ConnectionNotFoundError
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.polling.crowd import CrowdEnd, progress_line, wait_for_enough
from airflow_provider_evolink.polling.policy import Outcome, Watch
from airflow_provider_evolink.polling.poller import Poller
from airflow_provider_evolink.polling.shared_client import Lookup
from airflow_provider_evolink.polling.wake_rule import WakeRule
from tests.polling.virtual import EPOCH, Job, Service, always, run, wait_for

ALL = WakeRule(at_least=10_000, longest_wait=100_000.0)
OLD = Settings(base_url="https://old.example.com", api_key="sk-old-key-0001")
NEW = Settings(base_url="https://old.example.com", api_key="sk-new-key-0002")


@dataclass
class Waited:
    """A wait for a crowd: how it ended, after how many seconds, and the lines for the log with their times."""

    end: CrowdEnd = field(default_factory=lambda: CrowdEnd(0, 0, Outcome.TERMINAL))
    seconds: float = 0.0
    lines: list[tuple[float, str]] = field(default_factory=list)


def watch(job: Job, *, seconds: float = 7200.0) -> Watch:
    """Return the watch of a job that EvoLink expects to take two minutes."""
    submitted_at = EPOCH + job.submitted
    return Watch(job.id, submitted_at, submitted_at + seconds, estimated_time=120.0, model="m")


async def wait(poller: Poller, watches: Sequence[Watch], rule: WakeRule, waited: Waited) -> Waited:
    """Wait for a crowd, and note how it went."""
    loop = asyncio.get_running_loop()
    waited.end = await wait_for_enough(poller, watches, rule, lambda line: waited.lines.append((loop.time(), line)))
    waited.seconds = loop.time()
    return waited


def wait_for_crowd(
    service: Service,
    rule: WakeRule,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lookup: Lookup = always,
    watches: Sequence[Watch] | None = None,
) -> Waited:
    """Wait for all jobs of a service from the start on."""

    async def main() -> Waited:
        return await wait(Poller(lookup), watches or [watch(job) for job in service.jobs], rule, Waited())

    return run(main(), monkeypatch, service)


def jobs(count: int, *, shortest: float = 60.0, longest: float = 300.0) -> list[Job]:
    """Return jobs submitted at the start, with durations between the shortest and the longest."""
    rng = random.Random(7)
    return [Job(number, 0.0, rng.uniform(shortest, longest)) for number in range(count)]


def test_enough_of_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends soon after the 250th end, and no sooner."""
    service = Service(jobs(1000))
    ends = sorted(job.ends for job in service.jobs)

    waited = wait_for_crowd(service, WakeRule(250), monkeypatch)

    assert (waited.end.outcome, waited.end.watched, waited.end.detail) == (Outcome.TERMINAL, 1000, None)
    assert 250 <= waited.end.ended <= 320
    assert ends[249] < waited.seconds < ends[249] + 20


def test_a_thousand_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd whose generations all end at the same time is over within seconds, at one request a second."""
    service = Service(jobs(1000, shortest=100.0, longest=100.0))

    waited = wait_for_crowd(service, WakeRule(1000), monkeypatch)

    assert waited.end == CrowdEnd(1000, 1000, Outcome.TERMINAL)
    assert waited.seconds < 125


def test_fifty_share_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of polls for a thousand takes hardly more than twenty requests, and all rounds take few."""
    service = Service(jobs(1000))

    wait_for_crowd(service, ALL, monkeypatch)

    polls = sum(len(job.polled) for job in service.jobs)
    assert service.singles <= 5
    assert service.batches <= 1.4 * polls / 50
    assert service.batches <= 250


def test_a_straggler_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """If fewer than enough can still end, all the others wait for the last one, but not longer than the rule allows."""
    service = Service([*jobs(99, shortest=90.0, longest=110.0), Job(99, 0.0, 3000.0)])

    waited = wait_for_crowd(service, WakeRule(100, longest_wait=600.0), monkeypatch)

    assert waited.end == CrowdEnd(99, 100, Outcome.TERMINAL)
    assert 690 <= waited.seconds <= 725


def test_the_first_end_starts_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single ended generation is landed after the longest wait, even if the others take hours."""
    service = Service([Job(0, 0.0, 100.0), *(Job(number, 0.0, 9e9) for number in range(1, 200))])

    waited = wait_for_crowd(service, WakeRule(50, longest_wait=300.0), monkeypatch)

    assert waited.end == CrowdEnd(1, 200, Outcome.TERMINAL)
    noticed = service.jobs[0].noticed or 0.0
    assert waited.seconds == pytest.approx(noticed + 300.0, abs=1.0)


def test_deadlines_count_as_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generations whose deadline passes count as ended, since their worker reads them then."""
    service = Service([Job(number, 0.0, 100.0 if number % 2 else 9e9) for number in range(100)])
    watches = [watch(job, seconds=200.0) for job in service.jobs]

    waited = wait_for_crowd(service, ALL, monkeypatch, watches=watches)

    assert waited.end == CrowdEnd(100, 100, Outcome.TERMINAL, "50 deadline")
    assert waited.seconds < 250


def test_some_are_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generations that EvoLink denies for minutes count as ended, with the reason, and the others are waited for."""
    service = Service(jobs(100, shortest=500.0, longest=600.0), accounts={Settings(): set(range(97))})

    waited = wait_for_crowd(service, ALL, monkeypatch)

    detail = "3 refused (GenerationNotFoundError HTTP 404 task_not_found)"
    assert waited.end == CrowdEnd(100, 100, Outcome.TERMINAL, detail)
    assert waited.seconds > 500
    assert all(job.noticed for job in service.jobs[:97])


def test_the_api_key_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API key that stays refused ends the wait after minutes, not at the deadline, with the reason."""
    service = Service(jobs(200, shortest=5000.0, longest=6000.0), revoked_keys={OLD.api_key: 200.0})

    waited = wait_for_crowd(service, ALL, monkeypatch, lookup=lambda: always(OLD))

    detail = "200 refused (AuthenticationError HTTP 401 unauthorized)"
    assert waited.end == CrowdEnd(200, 200, Outcome.TERMINAL, detail)
    assert waited.seconds < 900


def test_a_new_api_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the old API key is refused, the whole crowd goes on with the new one."""
    service = Service(jobs(200, shortest=400.0, longest=500.0), revoked_keys={OLD.api_key: 200.0})

    async def lookup() -> Settings:
        return OLD if asyncio.get_running_loop().time() < 200 else NEW

    waited = wait_for_crowd(service, ALL, monkeypatch, lookup=lookup)

    assert waited.end == CrowdEnd(200, 200, Outcome.TERMINAL)
    assert service.clients == 2


def test_a_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection the wait ends within seconds, whatever the rule says, since a worker may find it."""

    async def lookup() -> Settings:
        raise ConnectionNotFoundError("no connection 'evolink_default'")

    service = Service([Job(number, -20.0 * number, 9e9) for number in range(200)])
    waited = wait_for_crowd(service, ALL, monkeypatch, lookup=lookup)

    assert (waited.end.outcome, waited.end.ended, waited.end.watched) == (Outcome.NO_CONNECTION, 0, 200)
    assert "ConnectionNotFoundError" in (waited.end.detail or "")
    assert waited.seconds < 15


def outage(_: float) -> ConnectionLostError:
    """Return the failure of a request that gets no response."""
    return ConnectionLostError("no response")


def test_nothing_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage longer than ``unreachable_timeout`` ends the wait as unreachable, and the log says why meanwhile."""
    service = Service(jobs(100), failure_at=outage)

    waited = wait_for_crowd(service, ALL, monkeypatch)

    assert waited.end == CrowdEnd(0, 100, Outcome.UNREACHABLE, "100 unreachable (ConnectionLostError)")
    assert 600 <= waited.seconds <= 800
    assert "could not be read when last polled: 100 ConnectionLostError" in waited.lines[-1][1]


def test_an_outage_after_some_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended before an outage is landed after it, though the others could not be read."""
    service = Service([Job(number, 0.0, 50.0 if number < 10 else 9e9) for number in range(100)])
    service.failure_at = lambda now: outage(now) if now > 300 else None

    waited = wait_for_crowd(service, ALL, monkeypatch)

    assert waited.end == CrowdEnd(10, 100, Outcome.TERMINAL, "90 unreachable (ConnectionLostError)")


def test_what_is_not_polled_any_more_does_not_wait_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation that is given up in an outage which the others survive wakes a worker after the longest wait."""
    service = Service([Job(number, 0.0, 9e9) for number in range(100)])
    service.failure_at = lambda now: outage(now) if 60 < now < 300 else None
    watches = [watch(job) for job in service.jobs]
    watches[7] = replace(watches[7], unreachable_timeout=60.0)

    waited = wait_for_crowd(service, WakeRule(50, longest_wait=500.0), monkeypatch, watches=watches)

    assert waited.end == CrowdEnd(0, 100, Outcome.TERMINAL, "1 unreachable (ConnectionLostError)")
    assert 620 <= waited.seconds <= 800


def test_a_short_outage_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of five minutes costs its duration at most."""
    service = Service(jobs(300, shortest=400.0, longest=500.0))
    service.failure_at = lambda now: outage(now) if 200 < now < 500 else None

    waited = wait_for_crowd(service, ALL, monkeypatch)

    assert waited.end == CrowdEnd(300, 300, Outcome.TERMINAL)
    assert waited.seconds < 600


def test_no_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of none is over at once, without a request."""
    service = Service([])

    assert wait_for_crowd(service, ALL, monkeypatch).end == CrowdEnd(0, 0, Outcome.TERMINAL)
    assert (service.clients, service.ended_at) == (0, 0.0)


def test_a_thousand_waits_take_no_task_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd is one task beside the poll loop and its requests, however many generations there are."""
    service = Service(jobs(1000))

    async def main() -> int:
        waiting = asyncio.create_task(wait(Poller(always), [watch(job) for job in service.jobs], ALL, Waited()))
        most = 0
        while not waiting.done():
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0.5)
        return most

    assert run(main(), monkeypatch, service) <= 12


@pytest.mark.parametrize("rule", [WakeRule(10), ALL], ids=["enough have ended", "cancelled"])
def test_nothing_is_left_behind(rule: WakeRule, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the wait is over or cancelled no generation of it is polled any more, and a wait beside it goes on."""
    service = Service([*jobs(200, shortest=100.0, longest=900.0), Job(200, 0.0, 2000.0)])
    crowd, other = service.jobs[:-1], service.jobs[-1]

    async def main() -> float:
        poller = Poller(always)
        beside = asyncio.create_task(wait_for(poller, other))
        waiting = asyncio.create_task(wait(poller, [watch(job) for job in crowd], rule, Waited()))
        await asyncio.wait([waiting], timeout=300.0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        over = asyncio.get_running_loop().time()
        [poll_loop] = poller._loops
        assert {waiter.watch.generation_id for waiter in poll_loop._waiters} == {other.id}
        await beside
        assert poll_loop.is_idle
        return over

    over = run(main(), monkeypatch, service)

    assert all(job.noticed is None or job.noticed <= over for job in crowd)
    # A request may be in flight.
    assert max(max(job.polled) for job in crowd) <= over + service.latency
    assert other.stop is not None
    assert other.stop.outcome is Outcome.TERMINAL


def test_the_last_crowd_closes_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two crowds of one connection share a client and their requests, and the second one ends without the first."""
    service = Service([*jobs(60, shortest=50.0, longest=60.0), *(Job(60 + n, 0.0, 400.0) for n in range(60))])
    halves = service.jobs[:60], service.jobs[60:]

    async def main() -> list[Waited]:
        poller = Poller(always)
        waits = [wait(poller, [watch(job) for job in half], ALL, Waited()) for half in halves]
        return list(await asyncio.gather(*waits))

    first, second = run(main(), monkeypatch, service)

    assert (first.end, second.end) == (CrowdEnd(60, 60, Outcome.TERMINAL),) * 2
    assert first.seconds < 120 < second.seconds
    assert service.clients == 1


def test_progress_is_reported_at_most_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand generations make one line at the start and one a minute, with counts, rate and the expected end."""
    service = Service(jobs(1000, shortest=100.0, longest=1100.0))

    waited = wait_for_crowd(service, ALL, monkeypatch)

    times = [time for time, _ in waited.lines]
    assert times[0] == 0.0
    assert min(later - earlier for earlier, later in pairwise(times)) >= 60.0
    assert len(times) >= waited.seconds / 60.0 - 1
    assert waited.lines[0][1].startswith("waiting for 1,000 generations, until 1,000 have ended")
    assert "of 1,000 generations have ended" in waited.lines[-1][1]


def test_a_progress_line() -> None:
    """A line says how many have ended, how fast, and when the last one will; or why they can't be read."""
    line = progress_line(412, 1000, failures={}, elapsed=412 / 0.9, now=EPOCH)
    assert line == (
        "412 of 1,000 generations have ended, 0.9 per second; at this rate the last ends at 2025-06-15 15:17 UTC"
    )

    none = progress_line(0, 1000, failures={"ServerError HTTP 503": 1000}, elapsed=60.0, now=EPOCH)
    assert none == ("0 of 1,000 generations have ended; could not be read when last polled: 1,000 ServerError HTTP 503")
