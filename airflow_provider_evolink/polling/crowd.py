# SPDX-License-Identifier: Apache-2.0
"""Wait for many generations at once, until enough of them have ended to be worth a worker's start.

The poller takes up all of them; the crowd only counts their ends, so that a thousand waits cost little more than their
polls. When a worker is woken is decided in :mod:`~airflow_provider_evolink.polling.wake_rule`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.wording import counted, have
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, Watch
from airflow_provider_evolink.polling.wake_rule import WakeRule, seconds_until_wake, should_wake

if TYPE_CHECKING:
    from airflow_provider_evolink.polling.poller import Poller
    from airflow_provider_evolink.polling.waiter import Waiter

# Seconds between two lines in the log.
REPORT_INTERVAL_SECONDS = 60.0
# Ends of a wait that say nothing about its generation.
_UNREAD = {Outcome.UNREACHABLE, Outcome.NO_CONNECTION}


@dataclass(frozen=True, slots=True)
class CrowdEnd:
    """Why a wait for many generations ended, and how far they were.

    :param ended: how many are terminal, were refused, or had passed their deadline.
    :param watched: how many were waited for.
    :param outcome: ``TERMINAL`` = enough have ended, each for a reason of its own; ``UNREACHABLE`` = none could be
        read; ``NO_CONNECTION`` = this process has no such connection.
    :param detail: a short account of the ends that were not terminal, or ``None``.
    """

    ended: int
    watched: int
    outcome: Outcome
    detail: str | None = None


async def wait_for_enough(
    poller: Poller, watches: Sequence[Watch], rule: WakeRule, on_progress: Callable[[str], None]
) -> CrowdEnd:
    """Poll generations until enough of them have ended.

    How long an ended generation has been waiting is counted from the poll that noticed it; a restarted triggerer
    begins to count anew.

    :param watches: of the generations; may be empty.
    :param rule: when to return.
    :param on_progress: called with a line for the log at the start, and then at most once a minute.
    :return: why the wait ended; no :class:`~airflow_provider_evolink.api.errors.EvoLinkError` is ever raised.
    """
    async with poller.waiting(watches, None) as waiters:
        crowd = _Crowd(waiters, rule, on_progress)
        await crowd.wait()
        return crowd.end()


class _Crowd:
    """Count the ends of many waits."""

    def __init__(self, waiters: Sequence[Waiter], rule: WakeRule, on_progress: Callable[[str], None]) -> None:
        self._waiters = waiters
        self._rule = rule
        self._on_progress = on_progress
        self._ends: Counter[StopPolling] = Counter()
        self._oldest_ended_at: float | None = None
        self._changed = asyncio.Event()
        self._started = time.monotonic()
        for waiter in waiters:
            waiter.future.add_done_callback(self._on_end)

    async def wait(self) -> None:
        """Wait until a worker is worth its start, and report progress."""
        self._on_progress(_first_line(len(self._waiters), self._rule))
        next_report = self._started + REPORT_INTERVAL_SECONDS
        while not self._is_enough(now := time.monotonic()):
            if now >= next_report:
                next_report = now + REPORT_INTERVAL_SECONDS
                self._report(now)
            await self._wait_for_change(self._seconds_until_alarm(next_report, now))

    def end(self) -> CrowdEnd:
        """Return how the wait ended."""
        watched, outcome = len(self._waiters), Outcome.TERMINAL
        if self._count({Outcome.NO_CONNECTION}):
            outcome = Outcome.NO_CONNECTION
        elif 0 < watched == self._count(_UNREAD):
            outcome = Outcome.UNREACHABLE
        return CrowdEnd(self._ended, watched, outcome, _detail(self._ends))

    @property
    def _ended(self) -> int:
        return self._ends.total() - self._count(_UNREAD)

    def _on_end(self, future: asyncio.Future[StopPolling]) -> None:
        if future.cancelled():
            return
        self._ends[future.result()] += 1
        # An unread one starts the clock, too: it is not polled any more, so a worker has to look at it some time.
        if self._oldest_ended_at is None:
            self._oldest_ended_at = time.monotonic()
        self._changed.set()

    def _is_enough(self, now: float) -> bool:
        """Return whether to return; unread ones are not worth a worker's start, and can't end any more either."""
        return self._count({Outcome.NO_CONNECTION}) > 0 or should_wake(
            self._rule,
            ended=self._ended,
            watched=len(self._waiters) - self._count(_UNREAD),
            oldest_ended_at=self._oldest_ended_at,
            now=now,
        )

    def _count(self, outcomes: set[Outcome]) -> int:
        return sum(count for stop, count in self._ends.items() if stop.outcome in outcomes)

    def _seconds_until_alarm(self, next_report: float, now: float) -> float:
        seconds = seconds_until_wake(self._rule, oldest_ended_at=self._oldest_ended_at, now=now)
        return min(next_report - now, math.inf if seconds is None else seconds)

    async def _wait_for_change(self, seconds: float) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _report(self, now: float) -> None:
        failures = Counter(w.progress.failure for w in self._waiters if w.progress.failure and not w.future.done())
        elapsed = now - self._started
        line = progress_line(self._ended, len(self._waiters), failures=failures, elapsed=elapsed, now=time.time())
        self._on_progress(line)


def progress_line(ended: int, watched: int, *, failures: Mapping[str, int], elapsed: float, now: float) -> str:
    """Return a line on how far many generations are.

    :param failures: how many could not be read when they were last polled, for each kind of failure.
    :param elapsed: seconds in which ``ended`` of them ended.
    :param now: seconds since the epoch.
    """
    line = f"{ended:,} of {counted(watched, 'generation')} {have(ended)} ended"
    if ended and elapsed > 0:
        rate = ended / elapsed
        last = datetime.fromtimestamp(now + (watched - ended) / rate, UTC)
        line += f", {rate:.2g} per second; at this rate the last ends at {last:%Y-%m-%d %H:%M} UTC"
    if failures:
        line += f"; could not be read when last polled: {_account(Counter(failures))}"
    return line


def _first_line(watched: int, rule: WakeRule) -> str:
    enough = rule.enough(watched)
    line = f"waiting for {counted(watched, 'generation')}, until {enough:,} {have(enough)} ended"
    return f"{line}, or until {rule.longest_wait:g} s after the first" if enough > 1 else line


def _detail(ends: Counter[StopPolling]) -> str | None:
    """Return how many ended for which reason, the most frequent first, without those that are terminal."""
    counts: Counter[str] = Counter()
    for stop, count in ends.items():
        if stop.outcome is not Outcome.TERMINAL:
            counts[f"{stop.outcome} ({stop.detail})" if stop.detail else str(stop.outcome)] += count
    return _account(counts) or None


def _account(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common(3))
