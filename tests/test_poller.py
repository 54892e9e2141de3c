"""The shared waiting: one look-up, one client, few connections, whatever happens to a single wait."""

from __future__ import annotations

import asyncio
import contextvars
import json
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.api.pacing import Outcome, Stop, Watch
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transport import MAX_CONNECTIONS
from airflow_provider_evolink.poller import MAX_IN_FLIGHT, Poller, shared_poller
from tests.loopback import Asked, Loopback, Write, serving, whole

pytestmark = pytest.mark.usefixtures("quick")

OLD, NEW = "sk-old-key-0001", "sk-new-key-0002"


@dataclass
class Service:
    """A small EvoLink that takes one key, and finishes everything at once when told."""

    key: str = OLD
    is_done: bool = False
    batch: bytes | None = None
    left_out: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    slow_down: float | None = None
    server: Loopback = field(init=False)

    async def answer(self, asked: Asked, write: Write) -> None:
        """Tell about a generation, or refuse the key."""
        await asyncio.sleep(0.005)
        if asked.headers["authorization"] != f"Bearer {self.key}":
            await write(whole({"error": {"code": "unauthorized", "message": "Authentication required"}}, 401))
        elif self.slow_down is not None:
            await write(whole({"error": {"code": "rate_limit_exceeded"}}, 429, Retry_After=str(self.slow_down)))
            self.slow_down = None
        elif asked.method == "POST":
            known = [one for one in json.loads(asked.body)["task_ids"] if one not in self.left_out | self.gone]
            await write(self.batch or whole({"data": [self._told(one) for one in known]}))
        elif (generation_id := asked.target.rpartition("/")[2]) in self.gone:
            await write(whole({"error": {"code": "task_not_found", "message": "not found"}}, 404))
        else:
            await write(whole(self._told(generation_id)))

    def _told(self, generation_id: str) -> dict[str, Any]:
        return {"id": generation_id, "status": "completed" if self.is_done else "processing", "progress": 7}

    @property
    def batches(self) -> int:
        """How many requests were for many generations."""
        return sum(asked.method == "POST" for asked in self.server.asked)

    @property
    def singles(self) -> int:
        """How many were for one."""
        return len(self.server.asked) - self.batches


@dataclass
class Lookup:
    """Looks the account up, slowly, and counts how often; what is planned is raised or done first."""

    url: str
    keys: list[str] = field(default_factory=lambda: [OLD])
    planned: list[Exception] = field(default_factory=list)
    seconds: float = 0.02
    count: int = 0

    async def __call__(self) -> Settings:
        """Return the settings of this moment."""
        self.count += 1
        await asyncio.sleep(self.seconds)
        if self.planned:
            raise self.planned.pop(0)
        return Settings(base_url=self.url, api_key=self.keys[min(self.count, len(self.keys)) - 1])


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    one = Service()
    with serving(one.answer) as server:
        one.server = server
        yield one


@pytest.fixture
def lookup(service: Service) -> Lookup:
    """Finds the service."""
    return Lookup(service.server.url)


def watch(number: int = 0, *, seconds: float = 60, poll_interval: float = 0.05, **changes: Any) -> Watch:
    """Wait for a generation, asking every 50 ms unless told otherwise."""
    now = time.time()
    return Watch(f"task-unified-{number:04}", now, now + seconds, poll_interval=poll_interval, **changes)


async def wait(poller: Poller, one: Watch, tell: Callable[[str], None] = lambda _: None) -> Stop:
    """Wait as a trigger does."""
    return await poller.wait(one, tell)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)


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

    lag = await usual_lag(until(lambda: len(service.server.asked) > 20))
    service.is_done = True
    stops = await asyncio.gather(*waits)

    assert stops == [Stop(Outcome.FINAL, "completed")] * 200
    assert lookup.count == 1
    assert service.server.connections <= MAX_CONNECTIONS
    assert lag < 0.1
    await until(lambda: service.server.open == 0)


async def test_the_last_to_leave_closes_the_client(service: Service, lookup: Lookup) -> None:
    """As long as one waits the connections stay; with the last they go, and the next wait begins anew."""
    poller = Poller(lookup)
    first, second = (asyncio.create_task(wait(poller, watch(number))) for number in (1, 2))
    await until(lambda: len(service.server.asked) > 4)
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
    await until(lambda: len(service.server.asked) > 6)

    service.key = NEW
    before = len(service.server.asked)
    await until(lambda: len(service.server.asked) > before + 12)
    service.is_done = True
    stops = await asyncio.gather(*waits)

    assert stops == [Stop(Outcome.FINAL, "completed")] * 100
    assert lookup.count == 2
    assert all("can't be asked" not in line for line in news)
    await until(lambda: service.server.open == 0)


async def test_a_revoked_key_is_no_storm(service: Service, lookup: Lookup) -> None:
    """A key that stays refused ends every wait, and few questions tell it to all of them."""
    service.key = "sk-of-somebody-else"
    poller = Poller(lookup)

    stops = await asyncio.gather(*(wait(poller, watch(number)) for number in range(50)))

    assert {stop.outcome for stop in stops} == {Outcome.REFUSED}
    assert all("401" in (stop.detail or "") for stop in stops)
    assert len(service.server.asked) <= 4
    assert lookup.count == 2
    await until(lambda: service.server.open == 0)


async def test_a_cancelled_wait_leaves_the_others(service: Service, lookup: Lookup) -> None:
    """Waits that are cancelled, in the look-up, in a question or between two, take nobody with them."""
    poller = Poller(lookup)
    waits = [asyncio.create_task(wait(poller, watch(number))) for number in range(40)]
    await until(lambda: lookup.count == 1)
    for one in waits[:10]:
        one.cancel()
    await until(lambda: len(service.server.asked) > 2)
    for one in waits[10:20]:
        one.cancel()
    await until(lambda: len(service.server.asked) > 5)
    service.is_done = True
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert all(isinstance(end, asyncio.CancelledError) for end in ends[:20])
    assert ends[20:] == [Stop(Outcome.FINAL, "completed")] * 20
    assert lookup.count == 1


async def test_a_failing_lookup_is_endured(service: Service, lookup: Lookup) -> None:
    """A look-up that fails, however it does, is tried again, and only one at a time."""
    service.is_done = True
    lookup.planned = [RuntimeError("the API server is down"), ConfigurationError("no key yet"), OSError("again")]
    news: list[str] = []
    poller = Poller(lookup)

    stops = await asyncio.gather(*(wait(poller, watch(number), news.append) for number in range(20)))

    assert stops == [Stop(Outcome.FINAL, "completed")] * 20
    assert lookup.count == 4
    assert 1 <= len(news) <= 20
    assert all("goes on" in line for line in news)


async def test_patience_with_a_lookup_ends(service: Service, lookup: Lookup) -> None:
    """A look-up that fails for good ends the wait after its patience, with the reason."""
    lookup.planned = [RuntimeError("the API server is down")] * 100

    stop = await wait(Poller(lookup), watch(patience=0.3))

    assert stop.outcome is Outcome.UNREACHABLE
    assert stop.detail == "MalformedAnswerError"


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
    await until(lambda: len(service.server.asked) > 5)
    service.is_done = True
    await waiting

    assert news == ["processing, 7 %"]


# Many with one request


async def all_end(service: Service, poller: Poller, waits: Sequence[asyncio.Task[Stop]]) -> set[Stop]:
    """Let EvoLink finish, and return how the waits end."""
    service.is_done = True
    return set(await asyncio.gather(*waits))


def crowd(poller: Poller, count: int = 120, tell: Callable[[str], None] = lambda _: None) -> list[asyncio.Task[Stop]]:
    """Many that wait together."""
    return [asyncio.create_task(poller.wait(watch(number, poll_interval=0.2), tell)) for number in range(count)]


DONE = {Stop(Outcome.FINAL, "completed")}


async def test_fifty_are_asked_about_with_one_request(service: Service, lookup: Lookup) -> None:
    """A crowd that is due together costs a request for each fifty of it, and none for one alone."""
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.batches >= 9)

    assert await all_end(service, poller, waits) == DONE
    assert service.singles <= 2
    sizes = [len(json.loads(asked.body)["task_ids"]) for asked in service.server.asked if asked.method == "POST"]
    assert max(sizes) == 50


async def test_one_alone_is_asked_about_as_documented(service: Service, lookup: Lookup) -> None:
    """The batch is for many: one generation is read with the documented request."""
    service.is_done = True

    await Poller(lookup).wait(watch(), lambda _: None)

    assert [(asked.method, asked.target) for asked in service.server.asked] == [("GET", "/v1/tasks/task-unified-0000")]


@pytest.mark.parametrize(
    "answer",
    [
        whole({"error": {"code": "invalid_request", "message": "Invalid URL"}}, 404),
        whole({"error": {"code": "invalid_request", "message": "Method not allowed"}}, 405),
        whole({"error": {"code": "invalid_request", "message": "task_ids"}}, 400),
        whole({"error": {"code": "permission_denied", "message": "no"}}, 403),
        whole({"tasks": []}),
        whole([]),
        whole(b"<html>"),
    ],
    ids=["404", "405", "400", "403", "wrong shape", "list", "html"],
)
async def test_where_there_is_no_batch_each_is_asked_for(service: Service, lookup: Lookup, answer: bytes) -> None:
    """It is found out once, at run time, without failing a wait."""
    service.batch = answer
    news: list[str] = []
    poller = Poller(lookup)
    waits = crowd(poller, tell=news.append)
    await until(lambda: service.singles > 300)

    assert await all_end(service, poller, waits) == DONE
    # Those that were under way when the first was refused.
    assert service.batches <= MAX_IN_FLIGHT
    assert not [line for line in news if "can't be asked" in line]


async def test_a_batch_is_tried_again_later(service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that learns to take batches is given them after a while."""
    monkeypatch.setattr("airflow_provider_evolink.api.reader._REFUSED_SECONDS", 0.5)
    service.batch = whole({"error": {"code": "invalid_request"}}, 404)
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.singles > 100)

    service.batch = None
    before = service.batches
    await until(lambda: service.batches > before + 3)

    assert await all_end(service, poller, waits) == DONE


async def test_what_a_batch_leaves_out_is_asked_for_singly(service: Service, lookup: Lookup) -> None:
    """It is there all the same: nobody is failed, and batches that forget are not used any more."""
    service.left_out = frozenset({"task-unified-0007"})
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.singles > 100)

    assert await all_end(service, poller, waits) == DONE


async def test_only_a_single_read_tells_that_one_is_gone(service: Service, lookup: Lookup) -> None:
    """A generation that nobody knows ends its own wait, and no other; batches go on."""
    service.gone = frozenset({"task-unified-0007"})
    poller = Poller(lookup)
    old = time.time() - 100
    lost = asyncio.create_task(poller.wait(replace(watch(7, poll_interval=0.2), submitted_at=old), lambda _: None))
    waits = [one for number, one in enumerate(crowd(poller)) if number != 7]

    stop = await lost
    assert (stop.outcome, stop.detail) == (Outcome.REFUSED, "GenerationNotFoundError HTTP 404 task_not_found")
    before = service.batches
    await until(lambda: service.batches > before + 2)
    assert {one.done() for one in waits} == {False}


async def test_one_retry_after_slows_everyone(service: Service, lookup: Lookup) -> None:
    """When EvoLink asks for a pause, nobody asks meanwhile, whichever generation it was said about."""
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.batches > 3)
    service.slow_down = 1.5
    await until(lambda: service.slow_down is None)
    await asyncio.sleep(0.3)

    before = len(service.server.asked)
    await asyncio.sleep(0.9)
    assert len(service.server.asked) == before
    assert await all_end(service, poller, waits) == DONE


async def test_two_waits_for_the_same_generation(service: Service, lookup: Lookup) -> None:
    """A sensor and an operator that wait for the same one both get its end."""
    service.is_done = True
    poller = Poller(lookup)

    assert set(await asyncio.gather(*(poller.wait(watch(1), lambda _: None) for _ in range(3)))) == DONE


async def test_a_loop_that_fails_is_built_anew(
    service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the loop itself fails nobody."""
    monkeypatch.setattr("airflow_provider_evolink.api.pacing.RESTART_SECONDS", 0.1)
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.batches > 3)
    fail_once(poller, monkeypatch)
    before = service.batches
    await until(lambda: service.batches > before + 3)

    assert await all_end(service, poller, waits) == DONE


async def test_a_loop_that_fails_again_lets_workers_look(
    service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should it fail at once again, every wait ends with an event, and a worker looks for itself."""
    monkeypatch.setattr("airflow_provider_evolink.api.pacing.RESTART_SECONDS", 0.1)
    poller = Poller(lookup)
    waits = crowd(poller)
    monkeypatch.setattr(poller, "_due", broken)

    stops = await asyncio.gather(*waits)

    assert {(stop.outcome, stop.detail) for stop in stops} == {(Outcome.UNREACHABLE, "the asking itself failed")}


def broken() -> list[Any]:
    """Fail as nothing should."""
    raise RuntimeError("a bug")


def fail_once(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop fail at its next step, and only then."""
    sound = poller._due

    def first() -> list[Any]:
        monkeypatch.setattr(poller, "_due", sound)
        return broken()

    monkeypatch.setattr(poller, "_due", first)


WHOSE: contextvars.ContextVar[int] = contextvars.ContextVar("whose", default=-1)


async def test_a_line_comes_into_the_log_of_its_wait(service: Service, lookup: Lookup) -> None:
    """Whoever asks, a line is told in the context of the wait that it is about: Airflow sorts its logs by that."""
    poller = Poller(lookup)
    told: list[tuple[int, int]] = []

    async def one(number: int) -> Stop:
        WHOSE.set(number)
        return await poller.wait(watch(number), lambda _: told.append((number, WHOSE.get())))

    waits = [asyncio.create_task(one(number)) for number in range(20)]
    await until(lambda: len(told) == 20)

    assert all(number == whose for number, whose in told)
    assert await all_end(service, poller, waits) == DONE


async def test_a_crowd_tells_little(service: Service, lookup: Lookup) -> None:
    """Each change of status has its line; how far a crowd is does not flood the logs."""
    news: list[str] = []
    poller = Poller(lookup)
    waits = crowd(poller, 300, news.append)
    await until(lambda: len(news) == 300)
    lag = service.batches
    await until(lambda: service.batches > lag + 12)

    assert len(news) == 300
    assert await all_end(service, poller, waits) == DONE
