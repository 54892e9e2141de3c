# SPDX-License-Identifier: Apache-2.0
"""Jobs that stub and clients agree on without communicating: an id holds when its job starts and how long it takes."""

from __future__ import annotations

import random
from dataclasses import dataclass

# The mix of all comparisons: short enough for a run of a minute, long enough for two or three polls each.
SPREAD_SECONDS = 10.0
SHORTEST_SECONDS, LONGEST_SECONDS = 10.0, 25.0
_PREFIX = "task-unified-"
_MILLIS, _NUMBER = 10**9, 10**6


@dataclass(frozen=True, slots=True)
class Job:
    """A job that ends by itself.

    :param begins: start in milliseconds since the epoch.
    :param takes: duration in milliseconds, less than a billion.
    :param number: distinguishes jobs, less than a million.
    """

    begins: int
    takes: int
    number: int

    @property
    def begins_at(self) -> float:
        """Start in seconds since the epoch."""
        return self.begins / 1000

    @property
    def ends_at(self) -> float:
        """End in seconds since the epoch."""
        return (self.begins + self.takes) / 1000

    @property
    def token(self) -> int:
        """All fields encoded in one number."""
        return (self.begins * _MILLIS + self.takes) * _NUMBER + self.number

    @property
    def generation_id(self) -> str:
        """The token in the format of EvoLink's ids."""
        return f"{_PREFIX}{self.begins // 1000}-{self.token}"


def job_of(token: int) -> Job:
    """Decode a job's token."""
    rest, number = divmod(token, _NUMBER)
    begins, takes = divmod(rest, _MILLIS)
    return Job(begins, takes, number)


def job_of_id(generation_id: str) -> Job:
    """Decode a job's id."""
    return job_of(int(generation_id.rpartition("-")[2]))


def crowd(count: int, start: float, *, seed: int = 1) -> list[Job]:
    """Return jobs that start one after the other over 10 s and take 10 to 25 s each, the same in every run."""
    rng = random.Random(seed)
    return [
        Job(
            begins=round((start + SPREAD_SECONDS * number / count) * 1000),
            takes=round(rng.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) * 1000),
            number=number,
        )
        for number in range(count)
    ]
