"""A crowd that waits: fifty with one request, where EvoLink lets it, and nobody failed where it does not."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.polling.poller import MAX_IN_FLIGHT, Poller
from tests.loopback import http_response
from tests.polling.waiters import DONE, Lookup, Service, until, watch

pytestmark = pytest.mark.usefixtures("quick")


async def all_end(service: Service, poller: Poller, waits: Sequence[asyncio.Task[StopPolling]]) -> set[StopPolling]:
    """Let EvoLink finish, and return how the waits end."""
    service.is_done = True
    return set(await asyncio.gather(*waits))


def crowd(
    poller: Poller, count: int = 120, tell: Callable[[str], None] = lambda _: None
) -> list[asyncio.Task[StopPolling]]:
    """Many that wait together."""
    return [asyncio.create_task(poller.wait(watch(number, poll_interval=0.2), tell)) for number in range(count)]


async def test_fifty_are_asked_about_with_one_request(service: Service, lookup: Lookup) -> None:
    """A crowd that is due together costs a request for each fifty of it, and none for one alone."""
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.batches >= 9)

    assert await all_end(service, poller, waits) == DONE
    assert service.singles <= 2
    sizes = [
        len(json.loads(request.body)["task_ids"]) for request in service.server.requests if request.method == "POST"
    ]
    assert max(sizes) == 50


async def test_the_rest_follows_when_a_request_has_ended(
    service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that needs more requests than may be under way waits for the first of them, and for no alarm."""
    monkeypatch.setattr("airflow_provider_evolink.polling.poll_loop.MAX_IN_FLIGHT", 2)
    service.is_done = True

    async with asyncio.timeout(20):
        assert set(await asyncio.gather(*crowd(Poller(lookup), 500))) == DONE

    assert service.batches >= 10
    assert service.server.connections <= 2


async def test_one_alone_is_asked_about_as_documented(service: Service, lookup: Lookup) -> None:
    """The batch is for many: one generation is read with the documented request."""
    service.is_done = True

    await Poller(lookup).wait(watch(), lambda _: None)

    assert [(request.method, request.target) for request in service.server.requests] == [
        ("GET", "/v1/tasks/task-unified-0000")
    ]


@pytest.mark.parametrize(
    "answer",
    [
        http_response({"error": {"code": "invalid_request", "message": "Invalid URL"}}, 404),
        http_response({"error": {"code": "invalid_request", "message": "Method not allowed"}}, 405),
        http_response({"error": {"code": "invalid_request", "message": "task_ids"}}, 400),
        http_response({"error": {"code": "permission_denied", "message": "no"}}, 403),
        http_response({"tasks": []}),
        http_response([]),
        http_response(b"<html>"),
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
    monkeypatch.setattr("airflow_provider_evolink.polling.batch_reader._REFUSED_SECONDS", 0.5)
    service.batch = http_response({"error": {"code": "invalid_request"}}, 404)
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

    before = len(service.server.requests)
    await asyncio.sleep(0.9)
    assert len(service.server.requests) == before
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
    monkeypatch.setattr("airflow_provider_evolink.polling.policy.RESTART_SECONDS", 0.1)
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
    monkeypatch.setattr("airflow_provider_evolink.polling.policy.RESTART_SECONDS", 0.1)
    poller = Poller(lookup)
    waits = crowd(poller)
    monkeypatch.setattr(poller._loops[-1], "_pop_due", broken)

    stops = await asyncio.gather(*waits)

    assert {(stop.outcome, stop.detail) for stop in stops} == {(Outcome.UNREACHABLE, "the asking itself failed")}


def broken() -> list[Any]:
    """Fail as nothing should."""
    raise RuntimeError("a bug")


def fail_once(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop fail at its next step, and only then."""
    asker = poller._loops[-1]
    sound = asker._pop_due

    def first() -> list[Any]:
        monkeypatch.setattr(asker, "_pop_due", sound)
        return broken()

    monkeypatch.setattr(asker, "_pop_due", first)


WHOSE: contextvars.ContextVar[int] = contextvars.ContextVar("whose", default=-1)


async def test_a_line_comes_into_the_log_of_its_wait(service: Service, lookup: Lookup) -> None:
    """Whoever asks, a line is told in the context of the wait that it is about: Airflow sorts its logs by that."""
    poller = Poller(lookup)
    told: list[tuple[int, int]] = []

    async def one(number: int) -> StopPolling:
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
