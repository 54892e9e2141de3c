"""The shared waiting: one look-up, one client, few connections, whatever happens to a single wait."""

from __future__ import annotations

import asyncio
import statistics
import threading
from collections.abc import Awaitable
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.polling.poller import MAX_IN_FLIGHT, Poller, shared_poller
from tests.polling.waiters import NEW, OLD, Lookup, Service, until, wait, watch

pytestmark = pytest.mark.usefixtures("quick")


async def usual_lag(until_done: Awaitable[Any]) -> float:
    """Seconds for which the loop was usually not free, until something is done."""
    waited = asyncio.ensure_future(until_done)
    lags, loop = [0.0], asyncio.get_running_loop()
    while not waited.done():
        began = loop.time()
        await asyncio.sleep(0.01)
        lags.append(loop.time() - began - 0.01)
    await waited
    return statistics.median(lags)


async def test_two_hundred_share_everything(service: Service, lookup: Lookup) -> None:
    """One look-up, one client, at most eight connections, and a loop that stays free."""
    poller = Poller(lookup)
    waits = [asyncio.create_task(wait(poller, watch(number, poll_interval=0.5))) for number in range(200)]

    lag = await usual_lag(until(lambda: len(service.server.requests) > 20))
    service.is_done = True
    stops = await asyncio.gather(*waits)

    assert stops == [StopPolling(Outcome.TERMINAL, "completed")] * 200
    assert lookup.count == 1
    assert service.server.connections <= MAX_IN_FLIGHT
    assert lag < 0.1
    await until(lambda: service.server.open == 0)


async def test_the_last_to_leave_closes_the_client(service: Service, lookup: Lookup) -> None:
    """As long as one waits the connections stay; with the last they go, and the next wait begins anew."""
    poller = Poller(lookup)
    first, second = (asyncio.create_task(wait(poller, watch(number))) for number in (1, 2))
    await until(lambda: len(service.server.requests) > 4)
    first.cancel()
    await until(first.done)
    assert service.server.open > 0

    service.is_done = True
    await second
    await until(lambda: service.server.open == 0)
    await wait(poller, watch(3))

    assert lookup.count == 2


def test_every_loop_has_its_own(service: Service, lookup: Lookup) -> None:
    """Two event loops share nothing: a client belongs to the loop in which it was opened."""
    service.is_done = True
    pollers: list[Poller] = []

    async def both() -> None:
        poller = shared_poller("evolink_default", lookup)
        assert shared_poller("evolink_default", lookup) is poller
        assert shared_poller("another", lookup) is not poller
        pollers.append(poller)
        await asyncio.gather(*(wait(poller, watch(number)) for number in range(3)))

    threads = [threading.Thread(target=asyncio.run, args=[both()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert pollers[0] is not pollers[1]
    assert lookup.count == 2


async def test_a_rotated_key(service: Service, lookup: Lookup) -> None:
    """When the key is refused it is looked up once more, whoever was refused; all go on, and none notices."""
    lookup.keys = [OLD, NEW]
    news: list[str] = []
    poller = Poller(lookup)
    waits = [asyncio.create_task(wait(poller, watch(number, poll_interval=0.2), news.append)) for number in range(100)]
    await until(lambda: len(service.server.requests) > 6)

    service.key = NEW
    before = len(service.server.requests)
    await until(lambda: len(service.server.requests) > before + 12)
    service.is_done = True
    stops = await asyncio.gather(*waits)

    assert stops == [StopPolling(Outcome.TERMINAL, "completed")] * 100
    assert lookup.count == 2
    assert all("can't be asked" not in line for line in news)
    await until(lambda: service.server.open == 0)


async def test_a_revoked_key_is_no_storm(service: Service, lookup: Lookup) -> None:
    """A key that stays refused ends every wait after a while, and few questions tell it to all of them."""
    service.key = "sk-of-somebody-else"
    poller = Poller(lookup)

    stops = await asyncio.gather(*(wait(poller, watch(number)) for number in range(50)))

    assert {stop.outcome for stop in stops} == {Outcome.REFUSED}
    assert all("401" in (stop.detail or "") for stop in stops)
    assert len(service.server.requests) <= 20
    assert lookup.count == 2
    await until(lambda: service.server.open == 0)


async def test_a_cancelled_wait_leaves_the_others(service: Service, lookup: Lookup) -> None:
    """Waits that are cancelled, in the look-up, in a question or between two, take nobody with them."""
    poller = Poller(lookup)
    waits = [asyncio.create_task(wait(poller, watch(number))) for number in range(40)]
    await until(lambda: lookup.count == 1)
    for one in waits[:10]:
        one.cancel()
    await until(lambda: len(service.server.requests) > 2)
    for one in waits[10:20]:
        one.cancel()
    await until(lambda: len(service.server.requests) > 5)
    service.is_done = True
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert all(isinstance(end, asyncio.CancelledError) for end in ends[:20])
    assert ends[20:] == [StopPolling(Outcome.TERMINAL, "completed")] * 20
    assert lookup.count == 1


async def test_a_failing_lookup_is_endured(service: Service, lookup: Lookup) -> None:
    """A look-up that fails, however it does, is tried again, and only one at a time."""
    service.is_done = True
    lookup.planned = [RuntimeError("the API server is down"), ConfigurationError("no key yet"), OSError("again")]
    news: list[str] = []
    poller = Poller(lookup)

    stops = await asyncio.gather(*(wait(poller, watch(number), news.append) for number in range(20)))

    assert stops == [StopPolling(Outcome.TERMINAL, "completed")] * 20
    assert lookup.count == 4
    assert 1 <= len(news) <= 20
    assert all("goes on" in line for line in news)


async def test_patience_with_a_lookup_ends(service: Service, lookup: Lookup) -> None:
    """A look-up that fails for good ends the wait after its patience, with the reason."""
    lookup.planned = [RuntimeError("the API server is down")] * 100

    stop = await wait(Poller(lookup), watch(unreachable_timeout=0.3))

    assert stop.outcome is Outcome.UNREACHABLE
    assert stop.detail == "InvalidResponseError"


async def test_a_lookup_that_hangs_holds_nobody_back(service: Service, lookup: Lookup) -> None:
    """A wait that is cancelled while the look-up hangs ends at once, and leaves no task behind."""
    lookup.seconds = 60
    one = asyncio.create_task(wait(Poller(lookup), watch()))
    await until(lambda: lookup.count == 1)

    one.cancel()
    async with asyncio.timeout(2):
        await asyncio.gather(one, return_exceptions=True)

    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_deadline_asks_a_last_time(service: Service, lookup: Lookup) -> None:
    """What is finished at the deadline is found; what is not, is told with its last status."""
    stop = await wait(Poller(lookup), watch(seconds=0.2))

    assert (stop.outcome, stop.status) == (Outcome.DEADLINE, "processing")


async def test_news_only_on_change(service: Service, lookup: Lookup) -> None:
    """Of many answers that say the same, one is worth a line."""
    news: list[str] = []
    waiting = asyncio.create_task(wait(Poller(lookup), watch(), news.append))
    await until(lambda: len(service.server.requests) > 5)
    service.is_done = True
    await waiting

    assert news == ["processing, 7 %"]
