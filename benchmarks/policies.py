# SPDX-License-Identifier: Apache-2.0
"""Ways to decide when to ask: the product's own, driven as its poller drives it, and the usual ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.polling import policy
from airflow_provider_evolink.polling.policy import PollAgain, Progress, Watch
from airflow_provider_evolink.polling.poll_plan import Durations

_ID, _MODEL = "task-unified-1757169743-7cvnl5zw", "a-model"
_FOREVER = 1e9
_BACK_OFF, _GROWTH, _BACK_OFF_CAP = 2.0, 1.5, 30.0


class Policy(Protocol):
    """Decides when to ask about one job after the other."""

    def wait_for(self, duration: float, chance: random.Random) -> tuple[int, float]:
        """Wait for a job that takes so long; return the number of questions, and the delay of the last one."""
        ...


@dataclass
class Ours:
    """
    The product's pacing, with what it has learned so far.

    :param estimate: what EvoLink says that each job takes, if it does.
    :param learns: whether it remembers the durations that it sees.
    :param is_told: whether EvoLink says how long a completed one took; else that is known from the questions only.
    """

    estimate: float | None
    learns: bool = True
    is_told: bool = False
    durations: Durations = field(default_factory=Durations)

    def wait_for(self, duration: float, chance: random.Random) -> tuple[int, float]:
        """Wait as the poller does; the job begins at zero."""
        watch = Watch(_ID, 0.0, _FOREVER, estimated_time=self.estimate, model=_MODEL)
        plan = self.durations.plan(_MODEL, self.estimate)
        progress = Progress()
        now = policy.first_delay(watch, plan, now=0.0, jitter=chance.random())
        questions = 1
        while now < duration:
            seen = Generation(_ID, "processing", model=_MODEL, estimated_time=self.estimate)
            step = policy.after_response(watch, progress, seen, plan, now=now, jitter=chance.random())
            if not isinstance(step, PollAgain):
                raise RuntimeError(f"It has stopped at {now} s: {step}")  # noqa: TRY004 - no type of ours is wrong
            now, progress, questions = now + step.delay, step.progress, questions + 1
        if self.learns:
            done = Generation(_ID, COMPLETED, model=_MODEL, duration=duration if self.is_told else None)
            took = policy.observed_duration(watch, progress, done, plan, now=now)
            if took is not None:
                self.durations.learn(_MODEL, took)
        return questions, now - duration


@dataclass(frozen=True)
class Usual:
    """
    Asks at fixed distances.

    :param gaps: makes the seconds before each question of a job.
    """

    gaps: Callable[[], Iterator[float]]

    def wait_for(self, duration: float, chance: random.Random) -> tuple[int, float]:  # noqa: ARG002 - it leaves nothing to it
        """Wait."""
        now, questions = 0.0, 0
        for gap in self.gaps():
            now, questions = now + gap, questions + 1
            if now >= duration:
                break
        return questions, now - duration


def every(seconds: float) -> Usual:
    """Ask at a fixed interval."""

    def gaps() -> Iterator[float]:
        while True:
            yield seconds

    return Usual(gaps)


def back_off() -> Usual:
    """Ask after 2 s, then half as long again each time, up to 30 s."""

    def gaps() -> Iterator[float]:
        gap = _BACK_OFF
        while True:
            yield gap
            gap = min(gap * _GROWTH, _BACK_OFF_CAP)

    return Usual(gaps)
