"""
A connection that changes while it is waited for, or is not there at all.

The real poller, in simulated time: :mod:`tests.polling.virtual`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from airflow_provider_evolink.api.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    ConnectionNotFoundError,
    EvoLinkError,
    GenerationNotFoundError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.polling.poller import Poller
from tests.polling.virtual import Job, Service, run, wait_for

DONE = StopPolling(Outcome.TERMINAL, "completed")
OLD = Settings(base_url="https://old.example.com", api_key="sk-old-key-0001")
NEW_HOST = Settings(base_url="https://new.example.com", api_key="sk-old-key-0001")
NEW_KEY = Settings(base_url="https://old.example.com", api_key="sk-new-key-0002")
CHANGED = 100.0


@dataclass
class Lookup:
    """Finds what the connection says at the time."""

    found: list[tuple[float, Settings | Exception]] = field(default_factory=lambda: [(0.0, OLD)])
    count: int = 0

    async def __call__(self) -> Settings:
        """Return it, after a moment."""
        self.count += 1
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        found = [settings for since, settings in self.found if now >= since][-1]
        if isinstance(found, Exception):
            raise found
        return found


def until(lookup: Lookup, service: Service, monkeypatch: pytest.MonkeyPatch, **changes: float) -> None:
    """Wait for all jobs of a service."""

    async def main() -> None:
        poller = Poller(lookup)
        await asyncio.gather(*(wait_for(poller, job, poll_interval=5.0, **changes) for job in service.jobs))

    run(main(), monkeypatch, service)


def jobs(count: int) -> list[Job]:
    """Even ones are submitted before the connection changes, odd ones after; all end after that."""
    return [Job(number, 10.0 if number % 2 == 0 else CHANGED + 20, CHANGED + 300) for number in range(count)]


@pytest.mark.parametrize("new", [NEW_HOST, NEW_KEY], ids=["host", "key of another account"])
def test_each_generation_is_asked_about_at_its_own_account(new: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones go on where they are known, new ones where the connection leads now, for one more look-up in all."""
    service = Service(jobs(200), accounts={OLD: set(range(0, 200, 2)), new: set(range(1, 200, 2))})
    lookup = Lookup([(0.0, OLD), (CHANGED, new)])

    until(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert (lookup.count, service.clients) == (2, 2)
    assert max(job.delay for job in service.jobs) < 15


def test_a_key_that_replaces_another_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same account: when the old key is refused, everybody goes on with the new one."""
    service = Service(jobs(100), accounts={OLD: set(range(100)), NEW_KEY: set(range(100))})
    service.refused_keys = {OLD.api_key: CHANGED}
    lookup = Lookup([(0.0, OLD), (CHANGED, NEW_KEY)])

    until(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert lookup.count == 2


def test_a_key_that_is_replaced_in_two_steps_loses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever revokes a key before the new one is in the connection has two minutes for it."""
    service = Service(jobs(100), accounts={OLD: set(range(100)), NEW_KEY: set(range(100))})
    service.refused_keys = {OLD.api_key: CHANGED}
    lookup = Lookup([(0.0, OLD), (CHANGED + 120, NEW_KEY)])

    until(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert lookup.count <= 7


def test_a_generation_that_was_not_seen_yet_is_found_at_its_old_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was submitted before the change, and is first asked about after it, is looked for at both."""
    late = [Job(0, 10.0, 500.0), Job(1, 150.0, 500.0), Job(2, 151.0, 500.0)]
    service = Service(late, accounts={OLD: {0, 2}, NEW_HOST: {1}})

    until(Lookup([(0.0, OLD), (CHANGED, NEW_HOST)]), service, monkeypatch)

    assert {job.stop for job in late} == {DONE}


def test_a_host_that_is_gone_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing answers any more, the connection's new host is asked after a minute, long before patience ends."""
    service = Service(jobs(20), accounts={OLD: set(range(20)), NEW_HOST: set(range(20))})
    service.gone_hosts = {OLD.base_url: CHANGED}

    until(Lookup([(0.0, OLD), (CHANGED, NEW_HOST)]), service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert max(job.longest_silence(CHANGED + 25, job.ends) for job in service.jobs) < 130


def test_what_no_account_knows_is_handed_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """After minutes in which both have said that they don't, with that as the reason; look-ups stay rare."""
    service = Service([Job(0, 10.0, 9e9), Job(1, 10.0, 400.0)], accounts={OLD: {1}, NEW_HOST: set()})
    lookup = Lookup([(0.0, OLD), (CHANGED, NEW_HOST)])

    until(lookup, service, monkeypatch)

    assert [job.stop for job in service.jobs] == [
        StopPolling(Outcome.REFUSED, None, "GenerationNotFoundError HTTP 404 task_not_found"),
        DONE,
    ]
    assert lookup.count <= 10


def test_a_stray_answer_moves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 or 401 while the connection is what it was costs a look-up, and the waiting goes on."""
    errors: list[EvoLinkError] = [
        GenerationNotFoundError("no", status=404),
        AuthenticationError("no", status=401),
        ConnectionLostError("lost"),
    ]
    service = Service([Job(0, 10.0, 400.0)])
    service.failing = lambda now: errors.pop() if now > 100 and errors else None
    lookup = Lookup()

    until(lookup, service, monkeypatch)

    assert service.jobs[0].stop == DONE
    assert lookup.count <= 4


def test_a_stray_answer_of_the_new_account_moves_nobody_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an account has known belongs to it, while there is another one, too."""
    strays: list[EvoLinkError] = [GenerationNotFoundError("no", status=404)] * 2
    service = Service(jobs(2), accounts={OLD: {0}, NEW_HOST: {1}})
    service.failing = lambda now: strays.pop() if now > 250 and strays else None

    until(Lookup([(0.0, OLD), (CHANGED, NEW_HOST)]), service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert max(job.longest_silence(200.0, job.ends) for job in service.jobs) < 30


@pytest.mark.parametrize("error", [RateLimitedError("no", status=429), ServerError("no", status=503)])
def test_limits_and_outages_are_no_reason_to_look_again(error: EvoLinkError, monkeypatch: pytest.MonkeyPatch) -> None:
    """EvoLink itself has answered: the connection leads to it."""
    service = Service(jobs(10))
    service.failing = lambda now: error if 150 < now < 300 else None
    lookup = Lookup()

    until(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert lookup.count == 1


def test_a_look_up_that_fails_is_not_repeated_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything was found there is nothing that could have changed."""
    service = Service([Job(0, 0.0, 100.0)])
    lookup = Lookup([(0.0, OSError("down")), (10.0, OLD)])

    until(lookup, service, monkeypatch)

    assert service.jobs[0].stop == DONE
    assert (lookup.count, service.clients) == (2, 1)


def test_two_connections_that_say_the_same_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are compared by value: an equal connection is no reason to open another client."""
    service = Service(jobs(10))
    service.failing = lambda now: ConnectionLostError("lost") if 200 < now < 300 else None
    lookup = Lookup([(0.0, OLD), (CHANGED, Settings(base_url=OLD.base_url, api_key=OLD.api_key))])

    until(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {DONE}
    assert service.clients == 1


def test_a_connection_that_is_not_there_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait ends within seconds, for two look-ups in all: a triggerer may not see what a worker sees."""
    service = Service([Job(number, 0.0, 100.0) for number in range(100)])
    lookup = Lookup([(0.0, ConnectionNotFoundError("no connection 'evolink_default'"))])

    until(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {StopPolling(Outcome.NO_CONNECTION, None, "ConnectionNotFoundError")}
    assert lookup.count == 2
    assert service.ended_at < 15


def test_a_connection_that_was_not_found_for_a_moment_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow says so, too, when its database could not be read."""
    service = Service([Job(0, 0.0, 100.0)])

    until(Lookup([(0.0, ConnectionNotFoundError("no")), (8.0, OLD)]), service, monkeypatch)

    assert service.jobs[0].stop == DONE


@pytest.mark.parametrize("error", [ConnectionNotFoundError("deleted"), ConfigurationError("no key"), OSError("down")])
def test_a_connection_that_vanishes_ends_no_waiting(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked up once serves until it is refused, whatever a second look-up says."""
    service = Service([Job(0, 10.0, 600.0)])
    service.failing = lambda now: ConnectionLostError("lost") if 200 < now < 400 else None

    until(Lookup([(0.0, OLD), (CHANGED, error)]), service, monkeypatch)

    assert service.jobs[0].stop == DONE
