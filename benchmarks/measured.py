# SPDX-License-Identifier: Apache-2.0
"""What is measured of a crowd of triggers, and what several rounds of it say together."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """
    One run of one contender.

    :param contender: its key.
    :param count: how many triggers were started.
    :param finished: how many have told their job's good end before the cut.
    :param failed: the first errors of those that failed, or that told a failure.
    :param seconds: from the first start to the last event, or to the cut.
    :param cpu_seconds: of the whole process in that time.
    :param requests: that the stub has answered.
    :param connections: that were opened to it.
    :param lookups: of the Airflow connection.
    :param lag_p99: seconds for which a callback that is due has to wait, at most in 99 % of all moments.
    :param lag_max: the longest time for which the loop was busy.
    :param own_p99: ``lag_p99`` of the loop's own work: in CPU time, without that of Python's collector.
    :param own_max: ``lag_max`` of the loop's own work.
    :param delay_mean: seconds from a job's end to its event.
    :param delay_p99: the same, for all but a hundredth.
    :param bytes_each: by which the process had grown when all were waiting, for each trigger.
    """

    contender: str
    count: int
    finished: int
    failed: list[str]
    seconds: float
    cpu_seconds: float
    requests: int
    connections: int
    lookups: int
    lag_p99: float
    lag_max: float
    own_p99: float
    own_max: float
    delay_mean: float | None
    delay_p99: float | None
    bytes_each: float

    @property
    def cpu_each(self) -> float | None:
        """CPU seconds for each that has fired."""
        return self.cpu_seconds / self.finished if self.finished else None

    @property
    def requests_each(self) -> float | None:
        """Requests for each that has fired."""
        return self.requests / self.finished if self.finished else None


def is_success(word: object) -> bool:
    """Whether an event says that its job has ended well, in any of the contenders' words."""
    if not isinstance(word, Mapping):
        return word is True
    return word.get("status", "success") in {"success", "completed"}


def median_of(rounds: Sequence[Measured]) -> Measured:
    """Return the median of every figure over the rounds of one contender and count."""
    names = [field.name for field in fields(Measured) if field.name not in {"contender", "count", "failed"}]
    figures: dict[str, Any] = {name: _median([getattr(one, name) for one in rounds]) for name in names}
    return replace(rounds[0], failed=[error for one in rounds for error in one.failed], **figures)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def net_of(one: Measured, idle: Measured) -> float | None:
    """CPU seconds for each, above what triggers cost that only sleep; those have all ended, so it has to have, too."""
    return (one.cpu_seconds - idle.cpu_seconds) / one.count if one.finished == one.count else None
