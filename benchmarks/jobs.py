# SPDX-License-Identifier: Apache-2.0
"""Jobs that the stub and its clients agree on without talking: an id tells when its job began and how long it takes."""

from __future__ import annotations

import random
from dataclasses import dataclass

# The mix of all comparisons: short enough for a run of a minute, long enough for two or three questions each.
SPREAD_SECONDS = 10.0
SHORTEST_SECONDS, LONGEST_SECONDS = 10.0, 25.0
_PREFIX = "task-unified-"
_MILLIS, _NUMBER = 10**9, 10**6


@dataclass(frozen=True, slots=True)
class Job:
    """
    A job that ends by itself.

    :param begins: milliseconds since the epoch.
    :param takes: milliseconds, less than a billion.
    :param number: tells it from others, less than a million.
    """

    begins: int
    takes: int
    number: int

    @property
    def begins_at(self) -> float:
        """Seconds since the epoch."""
        return self.begins / 1000

    @property
    def ends_at(self) -> float:
        """Seconds since the epoch."""
        return (self.begins + self.takes) / 1000

    @property
    def token(self) -> int:
        """All about it in one number."""
        return (self.begins * _MILLIS + self.takes) * _NUMBER + self.number

    @property
    def generation_id(self) -> str:
        """The token in the form of EvoLink's ids."""
        return f"{_PREFIX}{self.begins // 1000}-{self.token}"


def job_of(token: int) -> Job:
    """Read a job's token."""
    rest, number = divmod(token, _NUMBER)
    begins, takes = divmod(rest, _MILLIS)
    return Job(begins, takes, number)


def job_of_id(generation_id: str) -> Job:
    """Read a job's id."""
    return job_of(int(generation_id.rpartition("-")[2]))


def crowd(count: int, start: float, *, seed: int = 1) -> list[Job]:
    """Jobs that begin one after the other over ten seconds, and each take from 10 to 25 s, the same in every run."""
    chance = random.Random(seed)
    return [
        Job(
            begins=round((start + SPREAD_SECONDS * number / count) * 1000),
            takes=round(chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) * 1000),
            number=number,
        )
        for number in range(count)
    ]
