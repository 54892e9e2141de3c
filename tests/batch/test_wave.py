# SPDX-License-Identifier: Apache-2.0
"""A wave whose account is limited to some requests at first: what becomes of the rows that wait when it ends early."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from airflow_provider_evolink.api.errors import AuthenticationError, EvoLinkError, InsufficientCreditsError
from airflow_provider_evolink.api.generation import Generation, Submission, Usage
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.batch.budget import Budget
from airflow_provider_evolink.batch.entry import RowEntry
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.batch.wave import Job, Post, WaveSubmitter
from airflow_provider_evolink.media.known_links import KnownLinks
from airflow_provider_evolink.media.uploader import Uploader
from airflow_provider_evolink.polling.rate_limiter import RateLimiter
from airflow_provider_evolink.submission.decision import Policy, Submit
from airflow_provider_evolink.submission.record import Phase
from airflow_provider_evolink.submission.send_outcome import new_intent
from tests.task_harness import Store

LOG = logging.getLogger(__name__)
ROWS, AT_ONCE = 100, 50


async def _after_a_moment(_: int) -> None:
    await asyncio.sleep(0.05)


class Turnstile(RateLimiter):
    """A limiter that lets some requests pass at once, and the others after a while."""

    def __init__(self) -> None:
        super().__init__()
        self._passed, self._opens_at = 0, time.monotonic() + 0.4

    def reserve(self, now: float) -> float:
        """Return 0 for a request that may be sent now, or the seconds until the others may."""
        self._passed += 1
        return 0.0 if self._passed <= AT_ONCE else max(self._opens_at - now, 0.0)


class Account:
    """EvoLink's side of a wave.

    :param respond: waits until the response to a submission, by its number, and raises its error.
    """

    def __init__(self, respond: Callable[[int], Awaitable[None]] = _after_a_moment) -> None:
        self.respond = respond
        self.keys: list[str] = []

    async def post(self, request: GenerationRequest, idempotency_key: str) -> Submission:
        """Accept a submission."""
        self.keys.append(idempotency_key)
        number = len(self.keys)
        await self.respond(number)
        return Submission(Generation(f"task-unified-1795786842-{number:04}", "pending", usage=Usage(1.0)), False)


class Wave:
    """A wave, and the chunk that it is recorded in.

    :param in_doubt: how many of the last rows an earlier try may have sent.
    """

    def __init__(self, post: Post, is_killed: Callable[[], bool] = lambda: False, *, in_doubt: int = 0) -> None:
        async def upload(*_: object) -> None:
            raise AssertionError("nothing is to be uploaded")

        self.store, self.chunk = Store(), Chunk(0)
        uploader = Uploader(upload, KnownLinks())  # type: ignore[arg-type]
        self.submitter = WaveSubmitter(
            self.ledger(), post, Policy(), Turnstile(), Budget(None), uploader, is_killed, LOG
        )
        request = GenerationRequest("model", "/v1/videos/generations", b"{}")
        self.jobs = []
        for number in range(ROWS):
            intent = new_intent(Submit(1), "model", "f" * 32, "sk-key", now=time.time())
            if number >= ROWS - in_doubt:
                intent = replace(intent, send_count=1, in_doubt_since=intent.intent_at)
            self.jobs.append(Job(RowEntry(f"A{number}"), request, intent))

    def ledger(self, try_number: int = 1) -> BatchLedger:
        """Return the ledger of a try."""
        return BatchLedger(self.store, None, "batch", try_number, None, 0.0, LOG)

    async def submit(self) -> None:
        """Submit it."""
        await self.submitter.submit(self.chunk, self.jobs)

    @property
    def recorded(self) -> dict[Phase, int]:
        """How many rows the next try finds in each phase."""
        found = self.ledger(2).read(0)
        assert found is not None
        return Counter(row.record.phase for row in found.rows.values() if row.record is not None)


async def test_all_rows_are_accepted() -> None:
    """Those that wait for the limiter are sent once it lets them, each once."""
    account = Account()
    wave = Wave(account.post)

    await wave.submit()

    assert len(set(account.keys)) == len(account.keys) == ROWS
    assert wave.recorded == {Phase.SUBMITTED: ROWS}


class _TimeoutStruckError(BaseException):
    """Like Airflow's error when a task has reached its ``execution_timeout``: no ``Exception``."""


@pytest.mark.parametrize("strikes", ["in a send", "between two"])
async def test_a_timeout_sends_nothing_more(strikes: str) -> None:
    """What waits when a task times out is not sent while its clients close, and no later try takes it for sent."""

    async def respond(number: int) -> None:
        await asyncio.sleep(0.05 if number < 10 else 0.1 if number == 10 else 1.0)
        if number == 10:
            if strikes == "in a send":
                raise _TimeoutStruckError
            submitting.cancel()

    account = Account(respond)
    wave = Wave(account.post)
    submitting = asyncio.ensure_future(wave.submit())
    with pytest.raises((_TimeoutStruckError, asyncio.CancelledError)):
        await submitting
    await asyncio.sleep(1.2)

    recorded = wave.recorded
    assert recorded[Phase.SUBMITTED] >= 9
    assert len(account.keys) == recorded[Phase.SUBMITTED] + recorded[Phase.INTENT]
    assert recorded[Phase.WITHDRAWN] == ROWS - len(account.keys) > 0


async def test_a_kill_reaches_the_rows_that_wait() -> None:
    """A killed task sends none of the rows that wait, and records those that were sent."""
    account = Account()
    wave = Wave(account.post, lambda: len(account.keys) >= AT_ONCE)

    await wave.submit()

    assert len(account.keys) == AT_ONCE
    assert wave.recorded == {Phase.SUBMITTED: AT_ONCE, Phase.WITHDRAWN: ROWS - AT_ONCE}


@pytest.mark.parametrize("error_class", [AuthenticationError, InsufficientCreditsError])
async def test_a_refusal_of_all_reaches_the_rows_that_wait(error_class: type[EvoLinkError]) -> None:
    """After 401 or 402 no new row is sent; one that may have been accepted is, since EvoLink knows it without credits.

    All rows can be sent later, those that may have been accepted under the same idempotency key.
    """

    async def refuse(_: int) -> None:
        await asyncio.sleep(0.1)
        raise error_class("refused", status=401)  # type: ignore[call-arg]

    account = Account(refuse)
    wave = Wave(account.post, in_doubt=5)

    await wave.submit()

    assert isinstance(wave.submitter.stopped_by, error_class)
    assert len(account.keys) <= AT_ONCE + 5
    assert {job.intent.idempotency_key for job in wave.jobs[-5:]} <= set(account.keys)
    assert wave.recorded == {Phase.WITHDRAWN: ROWS - 5, Phase.INTENT: 5}
