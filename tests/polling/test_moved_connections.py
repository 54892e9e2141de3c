# SPDX-License-Identifier: Apache-2.0
"""Waits whose connection changes, disappears, or was never there.

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

COMPLETED = StopPolling(Outcome.TERMINAL, "completed")
OLD = Settings(base_url="https://old.example.com", api_key="sk-old-key-0001")
NEW_HOST = Settings(base_url="https://new.example.com", api_key="sk-old-key-0001")
NEW_KEY = Settings(base_url="https://old.example.com", api_key="sk-new-key-0002")
CHANGED = 100.0


@dataclass
class Lookup:
    """Look the connection up.

    :param outcomes: settings or errors, each with the time from which it applies.
    :param count: the number of lookups so far.
    """

    outcomes: list[tuple[float, Settings | Exception]] = field(default_factory=lambda: [(0.0, OLD)])
    count: int = 0

    async def __call__(self) -> Settings:
        """Return the current settings, or raise the current error."""
        self.count += 1
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        outcome = [outcome for since, outcome in self.outcomes if now >= since][-1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def run_all(lookup: Lookup, service: Service, monkeypatch: pytest.MonkeyPatch, **changes: float) -> None:
    """Wait for all jobs of a service, polling each every 5 s."""

    async def main() -> None:
        poller = Poller(lookup)
        await asyncio.gather(*(wait_for(poller, job, poll_interval=5.0, **changes) for job in service.jobs))

    run(main(), monkeypatch, service)


def jobs(count: int) -> list[Job]:
    """Return jobs: even ones are submitted before the connection changes, odd ones after; all end later."""
    return [Job(number, 10.0 if number % 2 == 0 else CHANGED + 20, CHANGED + 300) for number in range(count)]


@pytest.mark.parametrize("new", [NEW_HOST, NEW_KEY], ids=["host", "key of another account"])
def test_each_generation_is_polled_at_its_own_account(new: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generations stay at the account that knows them, new ones are at the new account, for one lookup in all."""
    service = Service(jobs(200), accounts={OLD: set(range(0, 200, 2)), new: set(range(1, 200, 2))})
    lookup = Lookup([(0.0, OLD), (CHANGED, new)])

    run_all(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert (lookup.count, service.clients) == (2, 2)
    assert max(job.delay for job in service.jobs) < 15


def test_a_rotated_api_key_serves_all_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the old API key is refused, all waits go on with a new key of the same account."""
    service = Service(jobs(100), accounts={OLD: set(range(100)), NEW_KEY: set(range(100))})
    service.revoked_keys = {OLD.api_key: CHANGED}
    lookup = Lookup([(0.0, OLD), (CHANGED, NEW_KEY)])

    run_all(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert lookup.count == 2


def test_an_api_key_may_be_revoked_before_its_replacement_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes between the revocation of an API key and the update of the connection end no wait."""
    service = Service(jobs(100), accounts={OLD: set(range(100)), NEW_KEY: set(range(100))})
    service.revoked_keys = {OLD.api_key: CHANGED}
    lookup = Lookup([(0.0, OLD), (CHANGED + 120, NEW_KEY)])

    run_all(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert lookup.count <= 7


def test_a_generation_not_polled_before_the_change_is_found_at_its_old_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation submitted before the change and first polled after it is looked for at both accounts."""
    submitted = [Job(0, 10.0, 500.0), Job(1, 150.0, 500.0), Job(2, 151.0, 500.0)]
    service = Service(submitted, accounts={OLD: {0, 2}, NEW_HOST: {1}})

    run_all(Lookup([(0.0, OLD), (CHANGED, NEW_HOST)]), service, monkeypatch)

    assert {job.stop for job in submitted} == {COMPLETED}


def test_a_host_that_is_gone_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a host no longer responds, the connection's new host is polled after a minute, well before the timeout."""
    service = Service(jobs(20), accounts={OLD: set(range(20)), NEW_HOST: set(range(20))})
    service.gone_hosts = {OLD.base_url: CHANGED}

    run_all(Lookup([(0.0, OLD), (CHANGED, NEW_HOST)]), service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert max(job.longest_gap(CHANGED + 25, job.ends) for job in service.jobs) < 130


def test_a_generation_that_no_account_knows_ends_its_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait whose generation both accounts deny for minutes ends with that reason, and lookups stay rare."""
    service = Service([Job(0, 10.0, 9e9), Job(1, 10.0, 400.0)], accounts={OLD: {1}, NEW_HOST: set()})
    lookup = Lookup([(0.0, OLD), (CHANGED, NEW_HOST)])

    run_all(lookup, service, monkeypatch)

    assert [job.stop for job in service.jobs] == [
        StopPolling(Outcome.REFUSED, None, "GenerationNotFoundError HTTP 404 task_not_found"),
        COMPLETED,
    ]
    assert lookup.count <= 10


def test_a_stray_error_moves_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray 404, 401 or lost connection costs a lookup at most, and the wait goes on."""
    errors: list[EvoLinkError] = [
        GenerationNotFoundError("no", status=404),
        AuthenticationError("no", status=401),
        ConnectionLostError("lost"),
    ]
    service = Service([Job(0, 10.0, 400.0)])
    service.failure_at = lambda now: errors.pop() if now > 100 and errors else None
    lookup = Lookup()

    run_all(lookup, service, monkeypatch)

    assert service.jobs[0].stop == COMPLETED
    assert lookup.count <= 4


def test_a_stray_error_of_the_new_account_moves_no_wait_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation that an account has known stays there, even if there is another account."""
    stray_errors: list[EvoLinkError] = [GenerationNotFoundError("no", status=404)] * 2
    service = Service(jobs(2), accounts={OLD: {0}, NEW_HOST: {1}})
    service.failure_at = lambda now: stray_errors.pop() if now > 250 and stray_errors else None

    run_all(Lookup([(0.0, OLD), (CHANGED, NEW_HOST)]), service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert max(job.longest_gap(200.0, job.ends) for job in service.jobs) < 30


@pytest.mark.parametrize("error", [RateLimitedError("no", status=429), ServerError("no", status=503)])
def test_rate_limits_and_outages_cause_no_lookup(error: EvoLinkError, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 or 5xx causes no lookup, since the connection leads to EvoLink."""
    service = Service(jobs(10))
    service.failure_at = lambda now: error if 150 < now < 300 else None
    lookup = Lookup()

    run_all(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert lookup.count == 1


def test_a_lookup_that_fails_is_not_repeated_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed first lookup there are no settings to compare, so the next one is the only one."""
    service = Service([Job(0, 0.0, 100.0)])
    lookup = Lookup([(0.0, OSError("down")), (10.0, OLD)])

    run_all(lookup, service, monkeypatch)

    assert service.jobs[0].stop == COMPLETED
    assert (lookup.count, service.clients) == (2, 1)


def test_equal_settings_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are compared by value: an equal connection opens no other client."""
    service = Service(jobs(10))
    service.failure_at = lambda now: ConnectionLostError("lost") if 200 < now < 300 else None
    lookup = Lookup([(0.0, OLD), (CHANGED, Settings(base_url=OLD.base_url, api_key=OLD.api_key))])

    run_all(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {COMPLETED}
    assert service.clients == 1


def test_a_missing_connection_ends_all_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection every wait ends within seconds, for two lookups in all, since a worker may find it."""
    service = Service([Job(number, 0.0, 100.0) for number in range(100)])
    lookup = Lookup([(0.0, ConnectionNotFoundError("no connection 'evolink_default'"))])

    run_all(lookup, service, monkeypatch)

    assert {job.stop for job in service.jobs} == {StopPolling(Outcome.NO_CONNECTION, None, "ConnectionNotFoundError")}
    assert lookup.count == 2
    assert service.ended_at < 15


def test_a_connection_that_was_not_found_for_a_moment_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is not found is looked up again, since Airflow's database may have failed for a moment."""
    service = Service([Job(0, 0.0, 100.0)])

    run_all(Lookup([(0.0, ConnectionNotFoundError("no")), (8.0, OLD)]), service, monkeypatch)

    assert service.jobs[0].stop == COMPLETED


@pytest.mark.parametrize("error", [ConnectionNotFoundError("deleted"), ConfigurationError("no key"), OSError("down")])
def test_a_connection_that_disappears_ends_no_wait(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings stay in use until EvoLink refuses them, whatever a second lookup raises."""
    service = Service([Job(0, 10.0, 600.0)])
    service.failure_at = lambda now: ConnectionLostError("lost") if 200 < now < 400 else None

    run_all(Lookup([(0.0, OLD), (CHANGED, error)]), service, monkeypatch)

    assert service.jobs[0].stop == COMPLETED
