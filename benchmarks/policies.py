# SPDX-License-Identifier: Apache-2.0
"""Polling policies: the provider's own, driven as its poller drives it, and the usual ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.polling import policy
from airflow_provider_evolink.polling.policy import PollAgain, Progress, Watch
from airflow_provider_evolink.polling.poll_plan import Durations
from testkit.examples import GENERATION_ID

_MODEL = "a-model"
_FOREVER = 1e9
_BACK_OFF, _GROWTH, _BACK_OFF_CAP = 2.0, 1.5, 30.0


class Policy(Protocol):
    """Decide when to poll, for one job after the other."""

    def wait_for(self, duration: float, rng: random.Random) -> tuple[int, float]:
        """Wait for a job of a given duration; return the number of polls, and the delay of the last one in seconds."""
        ...


@dataclass
class ProviderPacing:
    """The provider's pacing with what it has learned so far.

    :param estimate: EvoLink's estimate for each job in seconds, if it gives one.
    :param learns: whether it learns from observed durations.
    :param reports_duration: whether EvoLink reports the duration of a completed job; otherwise polls only bound it.
    :param durations: what it has learned.
    """

    estimate: float | None
    learns: bool = True
    reports_duration: bool = False
    durations: Durations = field(default_factory=Durations)

    def wait_for(self, duration: float, rng: random.Random) -> tuple[int, float]:
        """Wait as the poller does; the job starts at zero."""
        watch = Watch(GENERATION_ID, 0.0, _FOREVER, estimated_time=self.estimate, model=_MODEL)
        plan = self.durations.plan(_MODEL, self.estimate)
        progress = Progress()
        now = policy.first_delay(watch, plan, now=0.0, jitter=rng.random())
        polls = 1
        while now < duration:
            generation = Generation(GENERATION_ID, "processing", model=_MODEL, estimated_time=self.estimate)
            step = policy.after_response(watch, progress, generation, plan, now=now, jitter=rng.random())
            if not isinstance(step, PollAgain):
                raise RuntimeError(f"The poller stopped at {now} s: {step}")  # noqa: TRY004 - no argument has a wrong type
            now, progress, polls = now + step.delay, step.progress, polls + 1
        if self.learns:
            done = Generation(
                GENERATION_ID, COMPLETED, model=_MODEL, duration=duration if self.reports_duration else None
            )
            observed = policy.observed_duration(watch, progress, done, plan, now=now)
            if observed is not None:
                self.durations.learn(_MODEL, observed)
        return polls, now - duration


@dataclass(frozen=True)
class FixedGaps:
    """Poll at predetermined distances.

    :param gaps: returns the seconds before each poll of a job.
    """

    gaps: Callable[[], Iterator[float]]

    def wait_for(self, duration: float, rng: random.Random) -> tuple[int, float]:  # noqa: ARG002 - nothing is random here
        """Wait."""
        now, polls = 0.0, 0
        for gap in self.gaps():
            now, polls = now + gap, polls + 1
            if now >= duration:
                break
        return polls, now - duration


def every(seconds: float) -> FixedGaps:
    """Poll at a fixed interval."""

    def gaps() -> Iterator[float]:
        while True:
            yield seconds

    return FixedGaps(gaps)


def back_off() -> FixedGaps:
    """Poll after 2 s, then after half as long again each time, up to 30 s."""

    def gaps() -> Iterator[float]:
        gap = _BACK_OFF
        while True:
            yield gap
            gap = min(gap * _GROWTH, _BACK_OFF_CAP)

    return FixedGaps(gaps)
