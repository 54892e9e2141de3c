# SPDX-License-Identifier: Apache-2.0
"""Confirmed reads: what one refusal proves, what several prove, and how long an outage is tolerated."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import CONFIRMATION_SECONDS, Generation
from airflow_provider_evolink.polling.confirmed_read import (
    FailedReads,
    Refused,
    Unanswered,
    after_failed_read,
    describe_error,
    read_until_confirmed,
)
from tests.leaping import LeapingTime

PROCESSING = Generation("task-unified-1", "processing")
LOG = logging.getLogger(__name__)
NOT_FOUND = errors.GenerationNotFoundError("404", status=404, code="task_not_found", detail="No such task.")
DENIED = errors.AccessDeniedError("403", status=403)
DOWN = errors.ServerError("503", status=503)


class Reads:
    """The outcomes of a generation's reads, in order; the last one repeats."""

    def __init__(self, *outcomes: Generation | errors.EvoLinkError) -> None:
        self.count = 0
        self._outcomes: Iterator[Generation | errors.EvoLinkError] = iter(outcomes)
        self._last = outcomes[-1]

    def __call__(self) -> Generation:
        """Return the generation, or raise the failure."""
        self.count += 1
        outcome = next(self._outcomes, self._last)
        if isinstance(outcome, Generation):
            return outcome
        raise outcome


@pytest.mark.parametrize("error", [NOT_FOUND, DENIED, errors.AuthenticationError("401", status=401), DOWN])
def test_a_stray_failure_is_retried(leaping: LeapingTime, error: errors.EvoLinkError) -> None:
    """A single refusal of any kind, or a short outage, costs seconds only."""
    assert read_until_confirmed(Reads(error, PROCESSING), timeout=60.0, log=LOG) is PROCESSING
    assert sum(leaping.slept) < 10


def test_refusals_that_agree_are_believed(leaping: LeapingTime) -> None:
    """A refusal is believed once several of its kind agree over two minutes, read with pauses in between."""
    reads = Reads(NOT_FOUND)

    refused = read_until_confirmed(reads, timeout=0.0, log=LOG)

    assert isinstance(refused, Refused)
    assert (refused.error, refused.times) == (NOT_FOUND, reads.count)
    assert refused.seconds == pytest.approx(CONFIRMATION_SECONDS, abs=35)
    assert 3 <= reads.count <= 10


def test_contradictory_refusals_are_not_believed(leaping: LeapingTime) -> None:
    """A refusal for another reason restarts the count, and the outcome stays open."""
    reads = Reads(*[NOT_FOUND, DENIED] * 50)

    assert isinstance(read_until_confirmed(reads, timeout=300.0, log=LOG), Unanswered)
    assert sum(leaping.slept) == pytest.approx(300, abs=5)


def test_a_temporary_failure_contradicts_no_refusal(leaping: LeapingTime) -> None:
    """Refusals are believed even if a gateway fails now and then between them."""
    assert isinstance(read_until_confirmed(Reads(*[NOT_FOUND, DOWN] * 50), timeout=600.0, log=LOG), Refused)


@pytest.mark.parametrize("timeout", [0.0, 60.0, 600.0])
def test_an_outage_is_tolerated_until_the_timeout(leaping: LeapingTime, timeout: float) -> None:
    """Reads that fail temporarily are retried until the timeout, and no longer."""
    reads = Reads(DOWN)

    unanswered = read_until_confirmed(reads, timeout=timeout, log=LOG)

    assert isinstance(unanswered, Unanswered)
    assert sum(leaping.slept) == pytest.approx(timeout, abs=2)
    assert reads.count <= 2 + timeout / 20 + 4


def test_retry_after_is_obeyed(leaping: LeapingTime) -> None:
    """``Retry-After`` overrides a shorter pause."""
    slow = errors.RateLimitedError("429", status=429, retry_after=50.0)

    assert read_until_confirmed(Reads(slow, PROCESSING), timeout=600.0, log=LOG) is PROCESSING
    assert leaping.slept == [50.0]


def test_a_read_that_can_not_be_sent_raises(leaping: LeapingTime) -> None:
    """A connection that can't be used raises at once, since it is no response from EvoLink."""
    with pytest.raises(errors.ConfigurationError):
        read_until_confirmed(Reads(errors.ConfigurationError("no key")), timeout=600.0, log=LOG)
    assert leaping.slept == []


def test_an_error_is_described_without_advice() -> None:
    """The description holds status, code and detail, but no advice about retries."""
    assert describe_error(NOT_FOUND) == "HTTP 404 task_not_found: No such task."
    assert describe_error(DENIED) == "HTTP 403"
    assert describe_error(errors.ConnectionLostError("lost")) == "lost"


@pytest.mark.parametrize(("refusals", "is_confirmed"), [(1, False), (2, False), (3, True)])
def test_a_refusal_takes_three_reads_however_far_apart(refusals: int, is_confirmed: bool) -> None:
    """A ``Retry-After`` may put two minutes between two reads, and two of them still decide nothing."""
    failures = FailedReads(since=0.0, reads=refusals, refusal=type(NOT_FOUND), refused_since=0.0, refusals=refusals)

    decided = after_failed_read(failures, NOT_FOUND, timeout=600.0, now=2 * CONFIRMATION_SECONDS)

    assert isinstance(decided, Refused) is is_confirmed
