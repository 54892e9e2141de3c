# SPDX-License-Identifier: Apache-2.0
"""Waits share one lookup, one client and few connections, and no wait disturbs another."""

from __future__ import annotations

import asyncio
import statistics
import threading
from collections.abc import Awaitable
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.polling.policy import Outcome
from airflow_provider_evolink.polling.poll_loop import MAX_IN_FLIGHT
from airflow_provider_evolink.polling.poller import Poller, shared_poller
from tests.polling.waiters import (
    COMPLETED,
    NEW,
    OLD,
    PROGRESS_MESSAGE,
    Lookup,
    Service,
    ignore,
    start_wait,
    until,
    watch,
)

pytestmark = pytest.mark.usefixtures("quick")


async def usual_lag(awaitable: Awaitable[Any]) -> float:
    """Return the median seconds for which the event loop was blocked until an awaitable is done."""
    future = asyncio.ensure_future(awaitable)
    lags, loop = [0.0], asyncio.get_running_loop()
    while not future.done():
        began = loop.time()
        await asyncio.sleep(0.01)
        lags.append(loop.time() - began - 0.01)
    await future
    return statistics.median(lags)


async def test_two_hundred_waits_share_everything(service: Service, lookup: Lookup) -> None:
    """Two hundred waits need one lookup, one client and at most eight connections, and do not block the event loop."""
    poller = Poller(lookup)
    waits = [start_wait(poller, watch(number, poll_interval=0.5)) for number in range(200)]

    lag = await usual_lag(until(lambda: service.requests > 20))
    service.is_done = True
    stops = await asyncio.gather(*waits)

    assert stops == [COMPLETED] * 200
    assert lookup.count == 1
    assert service.server.connections <= MAX_IN_FLIGHT
    assert lag < 0.1
    await until(lambda: service.server.open == 0)


async def test_the_last_wait_closes_the_client(service: Service, lookup: Lookup) -> None:
    """Connections stay open until the last wait ends, and the next wait opens a client of its own."""
    poller = Poller(lookup)
    first, second = (start_wait(poller, watch(number)) for number in (1, 2))
    await until(lambda: service.requests > 4)
    first.cancel()
    await until(first.done)
    assert service.server.open > 0

    service.is_done = True
    await second
    await until(lambda: service.server.open == 0)
    await poller.wait(watch(3), ignore)

    assert lookup.count == 2


def test_every_event_loop_has_its_own_poller(service: Service, lookup: Lookup) -> None:
    """Two event loops share nothing, since a client belongs to the loop in which it was opened."""
    service.is_done = True
    pollers: list[Poller] = []

    async def wait_for_three() -> None:
        poller = shared_poller("evolink_default", lookup)
        assert shared_poller("evolink_default", lookup) is poller
        assert shared_poller("another", lookup) is not poller
        pollers.append(poller)
        await asyncio.gather(*(poller.wait(watch(number), ignore) for number in range(3)))

    threads = [threading.Thread(target=asyncio.run, args=[wait_for_three()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert pollers[0] is not pollers[1]
    assert lookup.count == 2


async def test_a_rotated_api_key_is_looked_up_once(service: Service, lookup: Lookup) -> None:
    """When EvoLink refuses the API key, one lookup serves all waits, and no wait reports a failure."""
    lookup.keys = [OLD, NEW]
    messages: list[str] = []
    poller = Poller(lookup)
    waits = [start_wait(poller, watch(number, poll_interval=0.2), messages.append) for number in range(100)]
    await until(lambda: service.requests > 6)

    service.key = NEW
    before = service.requests
    await until(lambda: service.requests > before + 12)
    service.is_done = True
    stops = await asyncio.gather(*waits)

    assert stops == [COMPLETED] * 100
    assert lookup.count == 2
    assert set(messages) == {PROGRESS_MESSAGE}
    await until(lambda: service.server.open == 0)


async def test_a_revoked_api_key_costs_few_requests(service: Service, lookup: Lookup) -> None:
    """An API key that stays refused ends every wait after a while, for few requests in all."""
    service.key = "sk-of-somebody-else"
    poller = Poller(lookup)

    stops = await asyncio.gather(*(poller.wait(watch(number), ignore) for number in range(50)))

    assert {stop.outcome for stop in stops} == {Outcome.REFUSED}
    assert all("401" in (stop.detail or "") for stop in stops)
    assert service.requests <= 20
    assert lookup.count == 2
    await until(lambda: service.server.open == 0)


async def test_a_cancelled_wait_does_not_disturb_the_others(service: Service, lookup: Lookup) -> None:
    """Waits that are cancelled during the lookup, during a request or between two leave the others alone."""
    poller = Poller(lookup)
    waits = [start_wait(poller, watch(number)) for number in range(40)]
    await until(lambda: lookup.count == 1)
    for wait in waits[:10]:
        wait.cancel()
    await until(lambda: service.requests > 2)
    for wait in waits[10:20]:
        wait.cancel()
    await until(lambda: service.requests > 5)
    service.is_done = True
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert all(isinstance(end, asyncio.CancelledError) for end in ends[:20])
    assert ends[20:] == [COMPLETED] * 20
    assert lookup.count == 1


async def test_a_failing_lookup_is_retried(service: Service, lookup: Lookup) -> None:
    """A lookup that fails with any error is retried, one at a time, and reported with its reason."""
    service.is_done = True
    lookup.errors = [RuntimeError("the API server is down"), ConfigurationError("no key yet"), OSError("again")]
    reasons = [str(error) for error in lookup.errors]
    messages: list[str] = []
    poller = Poller(lookup)

    stops = await asyncio.gather(*(poller.wait(watch(number), messages.append) for number in range(20)))

    assert stops == [COMPLETED] * 20
    assert lookup.count == 4
    assert 1 <= len(messages) <= 20
    assert all(any(reason in message for reason in reasons) for message in messages)


async def test_a_lookup_that_keeps_failing_ends_the_wait(service: Service, lookup: Lookup) -> None:
    """A lookup that keeps failing ends the wait after ``unreachable_timeout``, with the kind of the failure."""
    lookup.errors = [RuntimeError("the API server is down")] * 100

    stop = await Poller(lookup).wait(watch(unreachable_timeout=0.3), ignore)

    assert stop.outcome is Outcome.UNREACHABLE
    assert stop.detail == "InvalidResponseError"


async def test_a_lookup_that_hangs_blocks_no_cancellation(service: Service, lookup: Lookup) -> None:
    """A wait that is cancelled while the lookup hangs ends at once, and leaves no task behind."""
    lookup.seconds = 60
    wait = start_wait(Poller(lookup), watch())
    await until(lambda: lookup.count == 1)

    wait.cancel()
    async with asyncio.timeout(2):
        await asyncio.gather(wait, return_exceptions=True)

    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_last_poll_is_at_the_deadline(service: Service, lookup: Lookup) -> None:
    """A wait whose generation is unfinished at the deadline ends with the status of that moment."""
    stop = await Poller(lookup).wait(watch(seconds=0.2), ignore)

    assert (stop.outcome, stop.status) == (Outcome.DEADLINE, "processing")


async def test_only_changes_are_reported(service: Service, lookup: Lookup) -> None:
    """Many equal responses are reported once."""
    messages: list[str] = []
    wait = start_wait(Poller(lookup), watch(), messages.append)
    await until(lambda: service.requests > 5)
    service.is_done = True
    await wait

    assert messages == [PROGRESS_MESSAGE]
