# SPDX-License-Identifier: Apache-2.0
"""A crowd of waits: fifty generations with one request where EvoLink takes batches, and no failed wait where not."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.polling.poll_loop import MAX_IN_FLIGHT
from airflow_provider_evolink.polling.poller import Poller
from airflow_provider_evolink.polling.waiter import OnProgress
from tests.loopback import http_response
from tests.polling.waiters import COMPLETED, PROGRESS_MESSAGE, Lookup, Service, ignore, start_wait, until, watch

pytestmark = pytest.mark.usefixtures("quick")


async def complete(service: Service, waits: Sequence[asyncio.Task[StopPolling]]) -> set[StopPolling]:
    """Let EvoLink complete all generations, and return how the waits end."""
    service.is_done = True
    return set(await asyncio.gather(*waits))


def crowd(poller: Poller, count: int = 120, on_progress: OnProgress = ignore) -> list[asyncio.Task[StopPolling]]:
    """Start many waits at once."""
    return [start_wait(poller, watch(number, poll_interval=0.2), on_progress) for number in range(count)]


async def test_fifty_generations_are_read_with_one_request(service: Service, lookup: Lookup) -> None:
    """A crowd that is due together is read in batches of up to fifty, and hardly ever one by one."""
    waits = crowd(Poller(lookup))
    await until(lambda: service.batches >= 9)

    assert await complete(service, waits) == {COMPLETED}
    assert service.singles <= 2
    sizes = [
        len(json.loads(request.body)["task_ids"]) for request in service.server.requests if request.method == "POST"
    ]
    assert max(sizes) == 50


async def test_the_next_request_follows_when_another_has_ended(
    service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that needs more requests than may be in flight sends the next one as soon as another has ended."""
    monkeypatch.setattr("airflow_provider_evolink.polling.poll_loop.MAX_IN_FLIGHT", 2)
    service.is_done = True

    async with asyncio.timeout(20):
        assert set(await asyncio.gather(*crowd(Poller(lookup), 500))) == {COMPLETED}

    assert service.batches >= 10
    assert service.server.connections <= 2


async def test_a_single_generation_is_read_as_documented(service: Service, lookup: Lookup) -> None:
    """A single generation is read with the documented request, without a batch."""
    service.is_done = True

    await Poller(lookup).wait(watch(), ignore)

    assert [(request.method, request.target) for request in service.server.requests] == [
        ("GET", "/v1/tasks/task-unified-0000")
    ]


@pytest.mark.parametrize(
    "response",
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
async def test_without_batches_each_generation_is_read_alone(service: Service, lookup: Lookup, response: bytes) -> None:
    """Missing batches are detected once, at run time, and no wait fails or reports a failure."""
    service.batch = response
    messages: list[str] = []
    waits = crowd(Poller(lookup), on_progress=messages.append)
    await until(lambda: service.singles > 300)

    assert await complete(service, waits) == {COMPLETED}
    # Those in flight when the first one was refused.
    assert service.batches <= MAX_IN_FLIGHT
    assert set(messages) == {PROGRESS_MESSAGE}


async def test_a_batch_is_tried_again_later(service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that begins to take batches gets them after a while."""
    monkeypatch.setattr("airflow_provider_evolink.polling.batch_reader._AFTER_REFUSAL_SECONDS", 0.5)
    service.batch = http_response({"error": {"code": "invalid_request"}}, 404)
    waits = crowd(Poller(lookup))
    await until(lambda: service.singles > 100)

    service.batch = None
    before = service.batches
    await until(lambda: service.batches > before + 3)

    assert await complete(service, waits) == {COMPLETED}


async def test_what_a_batch_leaves_out_is_read_alone(service: Service, lookup: Lookup) -> None:
    """A generation that a batch leaves out, but that exists, fails no wait, and batches are no longer used."""
    service.left_out = frozenset({"task-unified-0007"})
    waits = crowd(Poller(lookup))
    await until(lambda: service.singles > 100)

    assert await complete(service, waits) == {COMPLETED}


async def test_only_a_single_read_shows_that_a_generation_is_gone(service: Service, lookup: Lookup) -> None:
    """A generation that EvoLink does not know ends its own wait and no other, and batches stay in use."""
    service.gone = frozenset({"task-unified-0007"})
    poller = Poller(lookup)
    submitted_at = time.time() - 100
    lost = start_wait(poller, replace(watch(7, poll_interval=0.2), submitted_at=submitted_at))
    waits = [wait for number, wait in enumerate(crowd(poller)) if number != 7]

    stop = await lost
    assert (stop.outcome, stop.detail) == (Outcome.REFUSED, "GenerationNotFoundError HTTP 404 task_not_found")
    before = service.batches
    await until(lambda: service.batches > before + 2)
    assert {wait.done() for wait in waits} == {False}


async def test_one_retry_after_pauses_all_waits(service: Service, lookup: Lookup) -> None:
    """During a pause that EvoLink demands, no request is sent for any generation."""
    waits = crowd(Poller(lookup))
    await until(lambda: service.batches > 3)
    service.slow_down = 1.5
    await until(lambda: service.slow_down is None)
    await asyncio.sleep(0.3)

    before = service.requests
    await asyncio.sleep(0.9)
    assert service.requests == before
    assert await complete(service, waits) == {COMPLETED}


async def test_several_waits_for_the_same_generation_all_end(service: Service, lookup: Lookup) -> None:
    """A sensor and an operator that wait for the same generation both get its end."""
    service.is_done = True
    poller = Poller(lookup)

    assert set(await asyncio.gather(*(poller.wait(watch(1), ignore) for _ in range(3)))) == {COMPLETED}


async def test_a_poll_loop_that_crashes_is_restarted(
    service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the poll loop itself fails no wait."""
    monkeypatch.setattr("airflow_provider_evolink.polling.policy.RESTART_SPREAD_SECONDS", 0.1)
    poller = Poller(lookup)
    waits = crowd(poller)
    await until(lambda: service.batches > 3)
    crash_once(poller, monkeypatch)
    before = service.batches
    await until(lambda: service.batches > before + 3)

    assert await complete(service, waits) == {COMPLETED}


async def test_a_poll_loop_that_crashes_twice_leaves_it_to_workers(
    service: Service, lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the restarted poll loop crashes at once, every wait ends as unreachable, so that its worker reads."""
    monkeypatch.setattr("airflow_provider_evolink.polling.policy.RESTART_SPREAD_SECONDS", 0.1)
    poller = Poller(lookup)
    waits = crowd(poller)
    monkeypatch.setattr(poller._loops[-1], "_pop_due", crash)

    stops = await asyncio.gather(*waits)

    assert {stop.outcome for stop in stops} == {Outcome.UNREACHABLE}
    assert all("poll loop" in (stop.detail or "") for stop in stops)


def crash() -> list[Any]:
    """Fail as only a bug does."""
    raise RuntimeError("a bug")


def crash_once(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the poll loop fail at its next step, and only then."""
    poll_loop = poller._loops[-1]
    original = poll_loop._pop_due

    def restore_and_crash() -> list[Any]:
        monkeypatch.setattr(poll_loop, "_pop_due", original)
        return crash()

    monkeypatch.setattr(poll_loop, "_pop_due", restore_and_crash)


WAIT_NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("wait_number", default=-1)


async def test_progress_is_reported_in_the_context_of_its_wait(service: Service, lookup: Lookup) -> None:
    """A message is reported in the context of its own wait, by which Airflow sorts its logs."""
    poller = Poller(lookup)
    reported: list[tuple[int, int]] = []

    async def wait(number: int) -> StopPolling:
        WAIT_NUMBER.set(number)
        return await poller.wait(watch(number), lambda _: reported.append((number, WAIT_NUMBER.get())))

    waits = [asyncio.create_task(wait(number)) for number in range(20)]
    await until(lambda: len(reported) == 20)

    assert all(number == wait_number for number, wait_number in reported)
    assert await complete(service, waits) == {COMPLETED}


async def test_a_crowd_does_not_flood_the_logs(service: Service, lookup: Lookup) -> None:
    """Each new status is reported for each of three hundred waits, and nothing else."""
    messages: list[str] = []
    waits = crowd(Poller(lookup), 300, messages.append)
    await until(lambda: len(messages) == 300)
    before = service.batches
    await until(lambda: service.batches > before + 12)

    assert len(messages) == 300
    assert await complete(service, waits) == {COMPLETED}
